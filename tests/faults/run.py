"""One run of a scenario: what it is given, what it finds, and the row it leaves in the table."""

from __future__ import annotations

import random
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from faults.client import Client
from faults.judge import Expected, Judge
from faults.site import Site


@dataclass(slots=True)
class Row:
    """A row of the table.

    Args:
        number: The row or rows of the list of faults.
        title: The fault.
        seed: What all its chances were drawn from.
        tasks: Tasks that were accepted.
        kills: Processes or connections that were killed, in words.
        lost: Accepted tasks without a record.
        stuck: Tasks that never ended.
        doubly_finished: Tasks with more than one outcome.
        double_starts: Starts beyond a task's first, retries by its policy left out.
        allowed: As many as the faults explain.
        counted: As many as the ledger has counted.
        recovery: The longest time until a dead worker's task ran again, in seconds.
        duration: Seconds it took.
        verdict: ``holds``, ``broken``, or why it was not run.
        broken: What does not hold.
        notes: What else was seen.
    """

    number: str
    title: str
    seed: int
    tasks: int = 0
    kills: str = ""
    lost: int = 0
    stuck: int = 0
    doubly_finished: int = 0
    double_starts: int = 0
    allowed: int = 0
    counted: int = 0
    recovery: float | None = None
    duration: float = 0.0
    verdict: str = "holds"
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return asdict(self)


class Run:
    """What a scenario works with.

    Args:
        row: Where it leaves what it finds.
        folder: A folder of its own.
        full: Whether it is the full size, or the size for each commit.
        sizes: Numbers that override a scenario's own, such as ``tasks``.
    """

    def __init__(self, row: Row, folder: Path, *, full: bool, sizes: dict[str, int]) -> None:
        self.row = row
        self.folder = folder
        self.full = full
        self.sizes = sizes
        self.random = random.Random(row.seed)  # noqa: S311 - it is to be repeatable
        self.output: Callable[[], str] = str
        self._site: Site | None = None

    def size(self, name: str, small: int, full: int) -> int:
        """Return a number of things: as asked for, else by the size of the run."""
        return self.sizes.get(name, full if self.full else small)

    @contextmanager
    def deployed(self, workers: int, keepers: int = 0, **options: Any) -> Iterator[tuple[Site, Client]]:
        """Deploy an API, workers and keepers for a while.

        Args:
            workers: How many workers.
            keepers: How many keepers; with any, the judge looks at the history too.
            options: For :class:`~faults.site.Site`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        site = Site(self.folder, **options)
        try:
            with closing(Client(site.start_api())) as client:
                site.start_keepers(keepers)
                site.start_workers(workers)
                yield site, client
        finally:
            (self.folder / "workers.log").write_text(
                "\n\n".join(
                    f"== {crew.name}\n{process.output}"
                    for crew in (*site.crews, *site.keepers)
                    for process in (*crew.before, crew.process)
                )
            )
            site.close()

    def demand(self, holds: object, what: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.row.broken.append(what)

    def note(self, what: str) -> None:
        """Note what was seen."""
        self.row.notes.append(what)

    def judge(self, site: Site, client: Client, expected: Expected | None = None) -> None:
        """Let the judge look, and take over what it finds."""
        expected = expected or Expected()
        verdict = Judge(site, client, expected).judge()
        row = self.row
        counts = client.counts()
        row.tasks += counts["accepted"]
        row.lost += verdict.lost
        row.stuck += verdict.stuck
        row.doubly_finished += verdict.doubly_finished
        row.double_starts += verdict.double_starts
        row.counted += verdict.counted
        row.allowed += expected.extra_starts
        if verdict.recovery is not None:
            row.recovery = max(row.recovery or 0.0, round(verdict.recovery, 2))
        row.broken += verdict.broken
        doubtful = ", ".join(f"{counts[name]} {name}" for name in ("refused", "unsure") if counts[name])
        if doubtful:
            self.note(doubtful)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A row of the list of faults that can be run.

    Args:
        number: Its number there.
        title: The fault.
        play: What it does.
        commit: Whether it is run on each commit.
        missing: What it waits for, where it cannot be run yet.
    """

    number: str
    title: str
    play: Callable[[Run], None]
    commit: bool = False
    missing: str = ""

    @property
    def name(self) -> str:
        """A name for people who choose it."""
        return self.play.__name__


SCENARIOS: list[Scenario] = []


def scenario(number: str, title: str, **more: Any) -> Callable[[Callable[[Run], None]], Callable[[Run], None]]:
    """Register a function as the scenario of a row."""

    def register(play: Callable[[Run], None]) -> Callable[[Run], None]:
        SCENARIOS.append(Scenario(number, title, play, **more))
        return play

    return register


def perform(one: Scenario, folder: Path, *, seed: int, full: bool, sizes: dict[str, int] | None = None) -> Row:
    """Run a scenario, and return its row.

    Args:
        one: The scenario.
        folder: A folder of its own.
        seed: What all its chances are drawn from.
        full: Whether it is the full size.
        sizes: Numbers that override its own.
    """
    row = Row(one.number, one.title, seed)
    if one.missing:
        row.verdict = f"not yet: {one.missing}"
        return row
    begun = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)  # of a run before
    try:
        one.play(Run(row, folder, full=full, sizes=sizes or {}))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this row's finding
        place = traceback.extract_tb(error.__traceback__)[-1]
        row.broken.append(f"{type(error).__name__}: {str(error)[:2000]} ({Path(place.filename).name}:{place.lineno})")
    row.duration = round(time.monotonic() - begun, 1)
    if row.broken:
        row.verdict = "broken"
    return row
