"""The duty that looks at the queues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backyard import Backyard, Settings
from backyard.history.database import History
from backyard.history.migrate import migrate
from backyard.history.queue_samples import EVERY, queue_series
from backyard.keeper import sampling
from backyard.keeper.pruning import Pruning
from backyard.keeper.sampling import Sampling
from backyard.ledger.ledger import Ledger
from support.clean import wait_until
from support.keepers import start_keeper

BASE = 20_000 * 86_400_000


@pytest.fixture
def yard(environment: dict[str, str]) -> Iterator[Backyard]:
    settings = Settings(
        redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"])
    )  # fmt: skip
    yard = Backyard(environment["TEST_YARD"], settings=settings)

    @yard.task(queue="mail")
    def send(to: str) -> str:
        """Send a mail."""
        return to

    @yard.task(queue="print")
    def write() -> None:
        """Print a page."""

    migrate(yard.history)
    yield yard
    yard.history.close()
    yard.ledger.close()


def held(yard: Backyard, queue: str, since: int = BASE) -> list[tuple[int, float]]:
    """Return depth and age of each sample."""
    _, series = queue_series(yard.history, queue, since, since + 60_000)
    return [(point["depth"], point["oldest"]) for point in series if point["depth"] is not None]


def test_each_step_keeps_what_waits_and_comes_back_for_the_next_period(yard: Backyard) -> None:
    now = [BASE]
    duty = Sampling(yard, lambda: now[0])
    send = yard.celery.tasks["send"]

    assert duty.step() == EVERY
    for number in range(3):
        send.delay(to=str(number))
    now[0] = BASE + EVERY * 1000 + 2_500
    assert duty.step() == pytest.approx(EVERY - 2.5)

    (first, second) = held(yard, "mail")
    assert first == (0, 0.0)
    assert second[0] == 3
    assert second[1] > 0
    assert held(yard, "print") == [(0, 0.0), (0, 0.0)]


def test_of_many_queues_those_that_hold_the_most_are_kept(yard: Backyard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MOST", 1)
    yard.celery.tasks["write"].delay()

    Sampling(yard, lambda: BASE).step()

    assert (held(yard, "mail"), [depth for depth, _ in held(yard, "print")]) == ([], [1])


def test_two_keepers_at_once_count_once(yard: Backyard) -> None:
    yard.celery.tasks["send"].delay(to="a")
    for _ in range(2):
        Sampling(yard, lambda: BASE).step()

    assert [depth for depth, _ in held(yard, "mail")] == [1]


def test_samples_are_pruned(yard: Backyard) -> None:
    Sampling(yard, lambda: BASE).step()
    day = 86_400_000

    Pruning(yard, lambda: BASE + day).step()
    assert held(yard, "mail") == []
    _, month = queue_series(yard.history, "mail", BASE - 30 * day, BASE + 1)
    assert [point["depth"] for point in month if point["depth"] is not None] == [0]


def test_a_running_keeper_samples(environment: dict[str, str], history: History, ledger: Ledger) -> None:
    keeper = start_keeper(environment)
    try:
        now = int(ledger.run(ledger.calls.clock()) * 1000)

        def seen() -> bool:
            _, series = queue_series(history, "default", now - 60_000, now + 3_000_000)
            return any(point["depth"] is not None for point in series)

        wait_until(seen, "a sample is there")
    finally:
        keeper.end()
