"""Backyard's coroutines: the same yard, filled with tasks that wait without a thread."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers import ours


def fill_naps(seconds: Sequence[float]) -> None:
    """Submit coroutines that wait so long."""
    ours.fill_naps(seconds, "doze")
