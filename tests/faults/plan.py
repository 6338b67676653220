"""The plan of a storm: which faults strike, whom and when, drawn from a seed before anything starts."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from faults.client import Job


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to come.

    Args:
        at: Share of all tasks that have ended by then.
        delay: Seconds after that.
        kind: What is done, one of :data:`faults.storm.KINDS`.
        victim: Draws the worker among those that live, 0 to 1.
        seconds: How long it lasts, where it lasts.
    """

    at: float
    delay: float
    kind: str
    victim: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.kind}@{self.at:.2f}+{self.delay:.2f}s/{self.seconds:.1f}s"


def plan_faults(chance: random.Random, counts: Mapping[str, int]) -> list[Fault]:
    """Draw faults, in the order they strike.

    Args:
        chance: Where they are drawn from.
        counts: How many of each kind.
    """
    kinds = [kind for kind, number in counts.items() for _ in range(number)]
    chance.shuffle(kinds)
    times = sorted(chance.uniform(0.03, 0.92) for _ in kinds)
    return [
        Fault(at, chance.uniform(0, 0.3), kind, chance.random(), chance.uniform(1, 3))
        for at, kind in zip(times, kinds, strict=True)
    ]


def plan_jobs(chance: random.Random, number: int) -> list[Job]:
    """Draw what is submitted: most of it short work, some of it delayed, retried, failing or reporting."""
    return [_job(chance, chance.random()) for _ in range(number)]


def _job(chance: random.Random, draw: float) -> Job:
    short = {"seconds": round(chance.uniform(0, 0.05), 3)}
    delay = {"delay": round(chance.uniform(0.1, 3), 2)}
    lane = {"priority": chance.choice(["high", "low"])}
    mixture = [
        (0.10, Job("work", short, delay)),
        (0.18, Job("flaky", {"failures": 1})),
        (0.21, Job("fail")),
        (0.28, Job("report", {"steps": 3, "pause": 0.01})),
        (0.36, Job("work_async", short)),
        (0.40, Job("work", short, lane)),
        (1.00, Job("work", short)),
    ]
    return next(job for share, job in mixture if draw < share)
