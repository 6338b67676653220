"""The project's own files: what a clone holds, without what tools and runs leave beside it."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]


def own_files(suffix: str = "") -> list[Path]:
    """Return the files of the project, git's and ignored ones left out.

    Args:
        suffix: End of the names wanted, such as ``.py``.
    """
    ignored = [".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split())]
    return sorted(path for path in _walk(ROOT, ignored) if path.name.endswith(suffix))


def _walk(folder: Path, ignored: list[str]) -> Iterator[Path]:
    for path in folder.iterdir():
        if any(fnmatch(path.name, pattern) for pattern in ignored):
            continue
        if path.is_dir():
            yield from _walk(path, ignored)
        elif path.is_file():
            yield path
