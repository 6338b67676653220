"""Rows 13 and 21, which wait for the keeper."""

from __future__ import annotations

from faults.run import Run, scenario


@scenario("13", "keeper killed; history database away 30 s", missing="no keeper")
def keeper_killed(run: Run) -> None:
    raise NotImplementedError(run.row.number)


@scenario("21", "two keepers and five promoters; leader kill -9", missing="no keeper")
def two_keepers(run: Run) -> None:
    raise NotImplementedError(run.row.number)
