"""Installs peers apart from the project: their latest releases, each in an environment of its own below ``.bench``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.contenders import BULLMQ, HANDWIRED, INSTALLED, PEERS, Contender

#: What serves the endpoints of all of them.
SERVER: Final = ("fastapi", "uvicorn[standard]", "hiredis")
#: Shown with the figures, beside the peer itself.
SHOWN: Final = ("celery", "redis", "coredis", "taskiq-redis", "fastapi", "uvicorn", "ioredis")


def install(*, quick: bool = False) -> None:
    """Install what is not there yet.

    Args:
        quick: Only the hand-wired stack.
    """
    for one in [HANDWIRED] if quick else [HANDWIRED, *PEERS]:
        folder = INSTALLED / one.module
        stamp = folder / "installed"
        wanted = "\n".join(one.requirements)
        if stamp.exists() and stamp.read_text() == wanted:
            continue
        print(f"Installing {one.name} into {folder.relative_to(INSTALLED.parent)} ...", flush=True)
        if one is BULLMQ:
            _install_node(folder, one.requirements)
        else:
            _install_python(folder, one.requirements)
        stamp.write_text(wanted)


def _install_python(folder: Path, requirements: Sequence[str]) -> None:
    venv.create(folder, with_pip=True, clear=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *SERVER, *requirements], check=True)


def _install_node(folder: Path, requirements: Sequence[str]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("BullMQ needs Node.js and npm; they are not installed.")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", *requirements], cwd=folder, check=True)


def versions(one: Contender) -> dict[str, str]:
    """Return the versions of a peer and of what it stands on."""
    shown = {*SHOWN, *(word.partition("[")[0] for word in one.requirements)}
    if one is BULLMQ:
        found = (INSTALLED / one.module / "node_modules" / name / "package.json" for name in one.requirements)
        return {path.parent.name: json.loads(path.read_text())["version"] for path in found}
    program = "import importlib.metadata as m; print('\\n'.join(d.name + ' ' + d.version for d in m.distributions()))"
    done = subprocess.run([*one.command(["python"]), "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    return {name: version for name, version in map(str.split, done.stdout.splitlines()) if name in shown}
