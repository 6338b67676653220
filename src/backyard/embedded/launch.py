"""Replace this process by a command that Linux ends when its parent dies.

Run as a file, ``python -I -S launch.py SIGNAL PARENT COMMAND...``, so that it costs 15 ms and no import of the package.
A program of its own, because code between fork and exec is not safe in a process with threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, look whether the parent is already gone, and become the command."""
    ending, parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(ending))
    if os.getppid() != int(parent):
        sys.exit(1)  # it died before the request was in place, so no signal will come
    os.execvp(command[0], command)  # noqa: S606 - the command was chosen by the parent


if __name__ == "__main__":
    main()
