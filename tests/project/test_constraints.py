from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from project.tree import ROOT

TEXT = (ROOT / "constraints.txt").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RENEW = "renew constraints.txt, as CONTRIBUTING.md says"


def pins() -> dict[str, list[Requirement]]:
    """Return the pins by name; a name may have several, for different machines."""
    found: dict[str, list[Requirement]] = {}
    for line in TEXT.splitlines():
        pin = Requirement(line)
        found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def declared() -> list[Requirement]:
    extras = [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    requirements = [Requirement(line) for line in [*PROJECT["dependencies"], *extras]]
    return [one for one in requirements if one.name != PROJECT["name"]]


def test_each_line_is_a_pin_and_nothing_else() -> None:
    for line in TEXT.splitlines():
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.+!]*( ; .+)?", line), line
        assert not {"/", "@"} & set(line), line


def test_every_dependency_has_a_pin_that_it_allows() -> None:
    known = pins()
    for wanted in declared():
        assert canonicalize_name(wanted.name) in known, f"{wanted.name} has no pin: {RENEW}"
        for pin in known[canonicalize_name(wanted.name)]:
            (version,) = pin.specifier
            assert wanted.specifier.contains(version.version), f"{wanted} does not allow {pin}: {RENEW}"


def test_what_the_dependencies_need_is_pinned_too() -> None:
    known = pins()
    waiting, seen = declared(), set[tuple[str, str]]()
    while waiting:
        wanted = waiting.pop()
        for extra in ["", *wanted.extras]:
            key = (canonicalize_name(wanted.name), extra)
            if key in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
                continue
            seen.add(key)
            assert key[0] in known, f"{wanted.name} has no pin: {RENEW}"
            needs = [Requirement(line) for line in requires(wanted.name) or []]
            waiting += [one for one in needs if one.marker is None or one.marker.evaluate({"extra": extra})]
    assert len(seen) > 100
