"""The part of the fault suite that every commit has to pass; `make faults` runs all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import faults.rows  # noqa: F401 - importing them registers them
from faults.run import SCENARIOS, Scenario, perform

#: The same on each commit, so that a change is what makes the difference.
SEED = 1


# Whole minutes of work, on a machine that may be busy.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("one", [one for one in SCENARIOS if one.commit], ids=lambda one: one.name)
def test_holds(one: Scenario, tmp_path: Path) -> None:
    row = perform(one, tmp_path / "run", seed=SEED, full=False)
    log = tmp_path / "run" / "workers.log"
    assert row.broken == [], f"seed {row.seed}, notes {row.notes}; {log.read_text()[-8_000:] if log.exists() else ''}"


def test_every_row_is_there() -> None:
    numbers = sorted(int(number) for one in SCENARIOS for number in one.number.split(", "))
    assert numbers == list(range(1, 26))
    assert [one.number for one in SCENARIOS if one.missing] == []
