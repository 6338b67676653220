"""``python -m backyard``: the same as the command ``backyard``."""

from backyard.cli import main

if __name__ == "__main__":
    main()
