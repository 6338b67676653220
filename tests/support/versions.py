"""One yard in two versions: the environment says which one a worker runs."""

from __future__ import annotations

import os

from backyard import Backyard
from support.trials import note, wait_for_file

VERSION = int(os.environ.get("TEST_VERSION", "1"))
yard = Backyard(os.environ.get("TEST_YARD", "versions"))


def define(yard: Backyard, version: int) -> None:
    """Register what a version of the program knows."""

    @yard.task
    def steady(value: int) -> int:
        return value * version

    if version == 1:

        @yard.task(name="grown", retries=3, backoff=0.01)
        def grown_old(size: int) -> int:
            return size

    else:

        @yard.task(name="grown", retries=3, backoff=0.01)
        def grown_new(size: str, color: str) -> str:
            return f"{size} {color}"

        @yard.task
        def fresh(gate: str) -> int:
            if gate:
                note(gate, str(os.getpid()))
            if gate:
                wait_for_file(gate)
            return version


define(yard, VERSION)
