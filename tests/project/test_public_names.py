from __future__ import annotations

import re
import tomllib

import backyard
from project.tree import ROOT, own_files


def test_the_public_names_are_these() -> None:
    assert sorted(backyard.__all__) == [
        "Backyard",
        "BackyardError",
        "Context",
        "File",
        "GiveUp",
        "Retry",
        "Settings",
        "Snooze",
        "State",
        "TaskCancelledError",
        "TaskFailedError",
        "TaskHandle",
    ]
    for name in backyard.__all__:
        assert getattr(backyard, name).__doc__, f"backyard.{name} has no docstring"


def test_the_package_is_typed() -> None:
    assert (ROOT / "src/backyard/py.typed").is_file()


def test_the_version_stands_in_one_place_and_in_the_changelog() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    copies = [path for path in own_files(".py") if re.search(rf"""["']{re.escape(version)}["']""", path.read_text())]
    assert copies == [], "pyproject.toml alone says the version; read it with importlib.metadata.version('backyard')"
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
