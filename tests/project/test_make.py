"""The Makefile on machines that have what it needs, and on machines that do not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from project.tree import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
MAKE = shutil.which("make") or "make is not installed"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with just enough of the project for make."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make where only the checkout's own programs, and those that every system has, are found."""
    variables = {"PATH": f"{folder / 'bin'}:{folder / 'tools'}"}
    (folder / "tools").mkdir(exist_ok=True)
    for name in ("awk", "cp", "echo", "find", "mkdir", "rm", "sh", "touch"):
        found = shutil.which(name)
        if found and not (folder / "tools" / name).exists():
            (folder / "tools" / name).symlink_to(found)
    return subprocess.run(
        [MAKE, *words], cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=60
    )


def fake_python(folder: Path, name: str, *, works: bool, installs: bool = True) -> None:
    """Put a Python of a new enough version, or of an old one, on the path; it notes what it is asked to do."""
    log, status = folder / "log", "0" if installs else "1"
    program(
        folder / "bin",
        name,
        f'case "$1" in\n'
        f"-c) exit {0 if works else 1} ;;\n"
        f"--version) echo 'Python 3.11.0' ;;\n"
        f'*) echo "$*" >> {log}\n'
        '[ "$2" != venv ] || { mkdir -p .venv/bin && cp "$0" .venv/bin/python; }\n'
        f"exit {status} ;;\n"
        "esac",
    )


def asked(folder: Path) -> list[str]:
    log = folder / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def test_make_alone_prints_every_target(checkout: Path) -> None:
    done = make(checkout)
    targets = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert targets is not None
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE) == targets[1].split()


def test_an_old_python_is_refused_with_a_sentence(checkout: Path) -> None:
    fake_python(checkout, "python3", works=False)
    done = make(checkout, "up")
    assert done.returncode != 0
    assert "No Python 3.11 or newer was found. Install one, or name it: make up PYTHON=" in done.stderr
    assert asked(checkout) == []


def test_the_first_python_that_is_new_enough_is_taken(checkout: Path) -> None:
    fake_python(checkout, "python3", works=False)
    fake_python(checkout, "python3.13", works=True)
    program(checkout / "bin", "ready", "exit 0")
    make(checkout, ".venv/installed-demo")
    assert asked(checkout) == [
        "-m venv .venv",
        "-m pip install --quiet --disable-pip-version-check -e .[demo] -c constraints.txt",
    ]


def test_a_named_python_comes_first(checkout: Path) -> None:
    fake_python(checkout, "python3.11", works=False)
    fake_python(checkout, "mine", works=True)
    assert make(checkout, ".venv/created", "PYTHON=mine").returncode == 0
    assert asked(checkout) == ["-m venv .venv"]


def test_a_python_without_venv_says_what_to_install(checkout: Path) -> None:
    fake_python(checkout, "python3", works=True, installs=False)
    done = make(checkout, "up")
    assert done.returncode != 0
    assert "install the package python3-venv" in done.stderr


def test_an_installation_is_done_again_only_when_it_is_due(checkout: Path) -> None:
    fake_python(checkout, "python3", works=True)
    assert make(checkout, ".venv/installed-dev").returncode == 0
    assert [line.split()[-3] for line in asked(checkout)][1:] == [".[dev]"]
    # What tests need includes what the demo needs.
    assert make(checkout, ".venv/installed-dev", ".venv/installed-demo").returncode == 0
    assert asked(checkout) == []
    stamp = (checkout / ".venv/installed-demo").stat().st_mtime
    os.utime(checkout / "constraints.txt", (stamp + 10, stamp + 10))
    make(checkout, ".venv/installed-demo")
    assert len(asked(checkout)) == 1


def test_up_passes_words_on_and_leaves_its_place_to_backyard(checkout: Path) -> None:
    fake_python(checkout, "python3", works=True)
    make(checkout, ".venv/installed-demo")
    program(checkout / ".venv/bin", "backyard", 'echo "backyard $* under $PPID"')
    done = make(checkout, "up", "ARGS=--no-flower --port 9000")
    assert re.search(r"^backyard up --no-flower --port 9000 under \d+$", done.stdout, re.MULTILINE), done
    assert "@exec $(BIN)/backyard up" in MAKEFILE, "a shell between make and backyard would swallow signals"


def test_clean_keeps_data(checkout: Path) -> None:
    for name in (".venv", ".backyard", "build", "src/__pycache__", "tests", "examples", "benchmarks"):
        (checkout / name).mkdir(parents=True)
    assert make(checkout, "clean").returncode == 0
    left = {path.name for path in checkout.iterdir()}
    assert ".backyard" in left
    assert not {".venv", "build"} & left
    assert not (checkout / "src/__pycache__").exists()


def test_programs_that_the_makefile_runs_exist() -> None:
    own = re.findall(r"python ((?:\w+/)+\w+\.py)", MAKEFILE)
    assert len(own) > 2
    assert [name for name in own if not (ROOT / name).is_file()] == []
    tools = set(re.findall(r"\$\(BIN\)/([\w-]+)", MAKEFILE))
    assert {"backyard", "pytest", "ruff", "mypy", "lint-imports", "hadolint", "check-jsonschema"} <= tools
    assert [name for name in tools if not Path(sys.executable).with_name(name).exists()] == []


def test_ci_runs_make_test(tmp_path: Path) -> None:
    program(tmp_path, "make", 'echo "make $* CI=$CI in $(pwd)"; read -r line && echo "asked: $line"; exit 3')
    done = subprocess.run(
        ["bash", str(ROOT / ".ci/run")], cwd=tmp_path, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        input="an answer\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == f"make test CI=true in {ROOT}\n"
    assert done.returncode == 3
