"""Makes a history of a million tasks: ``python benchmarks/history_rows.py FILE [--tasks 1000000]``.

A made-up month of a shop is told to the real recorder, event by event as the ledger's stream would: twelve definitions
of unequal use, five queues, thirty workers, retries, failures of three hundred causes, tags, words of a language. The
same seed makes the same month. Only two things are unlike a keeper: batches are larger, and the file is not made safe
against a power cut until the end. Both save time, and leave the same rows.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event

from backyard.core.news import News
from backyard.history.database import History
from backyard.history.migrate import migrate
from backyard.history.recorder import Recorder

#: The month ends here, in milliseconds since 1970: before any clock that this runs under, so that a keeper can go on.
END: Final = 1_735_689_600_000
MONTH: Final = 30 * 86_400_000
#: Definitions, with their share of all tasks and the queue that they go to.
DEFINITIONS: Final = {
    "send_mail": (300, "default"), "resize_image": (180, "images"), "sync_stock": (150, "default"),
    "index_article": (110, "search"), "charge_card": (80, "payments"), "build_invoice": (60, "default"),
    "import_orders": (45, "default"), "refresh_prices": (35, "search"), "render_report": (20, "slow"),
    "export_books": (12, "slow"), "clean_baskets": (6, "default"), "close_month": (2, "slow"),
}  # fmt: skip
WORKERS: Final = [f"worker{number:02}@host{number % 6}" for number in range(30)]
TAGS: Final = ["customer", "nightly", "vip", "import", "replay", *(f"tenant-{number:03}" for number in range(400))]
CAUSES: Final = 300
ERRORS: Final = ["ValueError", "TimeoutError", "ConnectionResetError", "KeyError", "HTTPStatusError"]
#: A word that every third task has, and one that one task in a hundred thousand has.
COMMON: Final = "shipment"
RARE: Final = "zanzibar"
#: Events in one transaction.
TOGETHER: Final = 20_000


def vocabulary(number: int = 8_000) -> list[str]:
    """Return words, the commonest first."""
    draw = random.Random(1)
    syllables = [first + second for first in "bdfgklmnprstvw" for second in "aeiou"]
    return list(dict.fromkeys("".join(draw.choices(syllables, k=draw.choice((2, 3, 3, 4)))) for _ in range(number)))


class Month:
    """Tells of a shop's tasks.

    Args:
        tasks: How many there are.
        seed: Of the draws.
        end: Its last millisecond.
        length: Its milliseconds; a short one is a busy hour.
    """

    def __init__(self, tasks: int, seed: int = 7, end: int = END, length: int = MONTH) -> None:
        self.tasks = tasks
        self.begin = end - length
        self._draw = random.Random(seed)
        self._words = vocabulary()
        # As in a language: the n-th word is used n times less than the first.
        self._usage = list(itertools.accumulate(1 / (place + 1) for place in range(len(self._words))))
        self._names = list(DEFINITIONS)
        self._shares = list(itertools.accumulate(share for share, _ in DEFINITIONS.values()))
        self._causes = [self._cause(number) for number in range(CAUSES)]
        self._pauses = length / tasks
        self._ids = itertools.count(1)

    def news(self) -> Iterator[News]:
        """Tell what happened, oldest first."""
        waiting: list[tuple[int, int, tuple[Any, ...]]] = []
        at, order = float(self.begin), itertools.count()
        for number in range(self.tasks):
            at += self._draw.expovariate(1 / self._pauses)
            for when, told in self._life(number, int(at)):
                heapq.heappush(waiting, (when, next(order), told))
            while waiting and waiting[0][0] <= at:
                yield self._said(*heapq.heappop(waiting))
        while waiting:
            yield self._said(*heapq.heappop(waiting))

    def _said(self, when: int, _: int, told: tuple[Any, ...]) -> News:
        return News(f"{when}-{next(self._ids) % 1_000_000}", *told)

    def _life(self, number: int, at: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Tell of a task from its submission to where it is at the month's end."""
        draw = self._draw
        task_id = f"{draw.getrandbits(128):032x}"
        fate = draw.random()
        yield at, (task_id, "state", "PENDING", 0, None, self._born(number, at))
        if fate < 0.01:
            return  # it waits in its queue
        if fate < 0.02:
            message = "No longer wanted."
            yield at + 900, (task_id, "state", "REVOKED", 0, {"reason": message}, {"finished": str(at + 900)})
            return
        attempts = 1 + (draw.random() < 0.03)
        for attempt in range(1, attempts + 1):
            at += 1 + int(draw.lognormvariate(4, 1.2))
            worker = draw.choice(WORKERS)
            yield at, (task_id, "state", "STARTED", attempt, {"worker": worker}, {"started": str(at)})
            if fate < 0.0203:
                return  # it runs
            at += 1 + int(draw.lognormvariate(5.5, 1.3))
            if attempt < attempts:
                fields = {"failure": draw.choice(self._causes), "due": str(at + 1000), "retries_left": "1"}
                yield at, (task_id, "state", "RETRY", attempt, None, fields)
                at += 1000
                yield at, (task_id, "state", "PENDING", attempt, None, {})
        failed = fate > 0.95
        fields = {"failure": self._failure()} if failed else {"result": str(draw.randrange(10_000))}
        yield (
            at,
            (task_id, "state", "FAILURE" if failed else "SUCCESS", attempts, None, {"finished": str(at), **fields}),
        )

    def _failure(self) -> str:
        # Some causes are much commoner than others.
        return self._causes[int(CAUSES * self._draw.random() ** 3)]

    def _born(self, number: int, at: int) -> dict[str, str]:
        draw = self._draw
        (name,) = draw.choices(self._names, cum_weights=self._shares)
        words = draw.choices(self._words, cum_weights=self._usage, k=8)
        words += [COMMON] * (draw.random() < 1 / 3) + [RARE] * (draw.random() < 1 / 100_000)
        given = {"customer": draw.randrange(50_000), "order": f"A-{number}", "note": " ".join(words), "copies": 2}
        fields = {
            "name": name, "queue": DEFINITIONS[name][1], "lane": "normal", "created": str(at),
            "input": json.dumps(given),
        }  # fmt: skip
        if draw.random() < 0.3:
            fields["tags"] = json.dumps(sorted({draw.choice(TAGS[:5]), draw.choice(TAGS)}))
        return fields

    def _cause(self, number: int) -> str:
        type_ = ERRORS[number % len(ERRORS)]
        words = " ".join(self._draw.choices(self._words, k=5))
        traceback = "\n".join(f'  File "shop/part{line}.py", line {line * 7}, in step{line}' for line in range(12))
        return json.dumps(
            {"kind": "error", "type": type_, "message": f"{words}: {number}", "fingerprint": f"cause{number:04}",
             "traceback": traceback}
        )  # fmt: skip


def in_parts(news: Iterator[News], size: int) -> Iterator[list[News]]:
    """Cut news into batches."""
    while part := list(itertools.islice(news, size)):
        yield part


def fill(history: History, month: Month, together: int = TOGETHER) -> int:
    """Tell a new history of a month; returns the number of events."""
    migrate(history)

    @event.listens_for(history.engine, "connect")
    def hurry(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-1000000")

    history.engine.dispose()
    recorder = Recorder(history, lambda _: {})
    recorder.position()
    recorder.begin("0-0")
    told, began = 0, time.monotonic()
    for part in in_parts(month.news(), together):
        recorder.record(part)
        told += len(part)
        if told % (25 * together) == 0:
            print(f"  {told:,} events in {time.monotonic() - began:.0f} s", file=sys.stderr)
    event.remove(history.engine, "connect", hurry)
    history.close()
    return told


def main() -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    chosen = parser.parse_args()
    if chosen.file.exists():
        sys.exit(f"{chosen.file} is there already. Name another file, or delete it.")
    began = time.monotonic()
    told = fill(History(f"sqlite:///{chosen.file.absolute()}", "bench"), Month(chosen.tasks))
    size = chosen.file.stat().st_size / 1e6
    print(f"{chosen.tasks:,} tasks, {told:,} events, {size:,.0f} MB in {time.monotonic() - began:.0f} s: {chosen.file}")


if __name__ == "__main__":
    main()
