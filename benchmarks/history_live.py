"""A keeper on a real stream, for ``history.py``: how fast it catches up beside a busy worker, and how far it is behind.

All of it is measured from outside: the position that the keeper notes in the ledger is asked for again and again, and
each event counts as recorded when the position has reached it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from bisect import bisect_right
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from backyard import Backyard, Settings
from backyard.core.news import event_order
from backyard.embedded.server import EmbeddedServer
from backyard.history.database import History
from backyard.submit import Options

yard = Backyard("bench")
#: Tasks that have ended before the keeper begins; then as many again keep the worker busy.
BACKLOG: Final = 10_000
#: Seconds of the steady rate, and tasks a second: each has three events.
STEADY: Final = 20.0
A_SECOND: Final = 167
PATIENCE: Final = 300.0
POLL: Final = 0.003


@yard.task
def take_order(customer: int, order: str, note: str = "") -> int:
    """Take an order."""
    return customer + len(order) + len(note)


class Stage:
    """A server, a worker, and a keeper that comes and goes.

    Args:
        history: The history that is recorded into.
        folder: Where the server keeps its data.
    """

    def __init__(self, history: History, folder: Path) -> None:
        self._history = history
        self._server = EmbeddedServer(folder / "data", appendfsync="everysec")
        self._folder = folder
        self._submitted = 0
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._server.__enter__()
        self._environment = {
            **os.environ, "BACKYARD_REDIS_URL": self._server.url, "BACKYARD_DATA_DIR": str(self._folder),
            "BACKYARD_HISTORY_URL": self._history.url.render_as_string(), "PYTHONPATH": str(Path(__file__).parent),
            # The month is long ago, and is to stay.
            **{f"BACKYARD_KEEP_{what}": "3e9" for what in ("SUCCESS", "FAILURE", "REVOKED", "AUDIT")},
        }  # fmt: skip
        self._yard = Backyard("bench", settings=Settings(redis_url=self._server.url, data_dir=self._folder))
        self._yard.definitions.update(yard.definitions)
        self._keys = self._yard.ledger.keys
        self._client: Any = self._yard.ledger.client
        self._start("worker", "--concurrency", "1", "--no-events")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait(60)
        self._yard.ledger.close()
        self._server.__exit__(kind, error, trace)

    def catch_up(self) -> dict[str, float]:
        """Let a keeper begin with a stream full of news while the worker is busy; returns its rate."""
        self._submit(BACKLOG)
        while self._waiting():
            time.sleep(0.1)
        self._submit(BACKLOG)
        events = self._events()
        keeper = self._start("keeper")
        begun = self._reached((0, 0))
        first, began = bisect_right(events, begun), time.perf_counter()
        self._reached(events[-1])
        seconds = time.perf_counter() - began
        busy = self._waiting()
        while self._waiting():
            time.sleep(0.1)
        keeper.terminate()
        keeper.wait(60)
        self._children.remove(keeper)
        return {
            "events": len(events) - first, "events_per_second": round((len(events) - first) / seconds),
            "tasks_left_for_the_worker": busy,
        }  # fmt: skip

    def lag(self) -> dict[str, float]:
        """Let a keeper follow a steady stream; returns how old events are when they are recorded, in milliseconds."""
        self._start("keeper")
        self._reached(self._events()[-1])
        before = self._place()
        submitter = subprocess.Popen([sys.executable, __file__], env=self._environment)
        reached: list[tuple[tuple[int, int], float]] = []
        while submitter.poll() is None:
            reached.append((self._place(), time.time() * 1000))
            time.sleep(POLL)
        places = [place for place, _ in reached]
        # Each event counts with the first look that saw a position at or beyond it.
        late = sorted(
            reached[bisect_right(places, (event[0], event[1] - 1))][1] - event[0]
            for event in self._events()
            if before < event <= places[-1]
        )
        return {
            "events": len(late), "events_per_second": round(len(late) / STEADY),
            "p50_ms": round(late[len(late) // 2]), "p99_ms": round(late[int(len(late) * 0.99)]),
            "max_ms": round(late[-1]),
        }  # fmt: skip

    def _start(self, role: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "backyard", role, "history_live:yard", *words]
        child = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._children.append(child)
        return child

    def _submit(self, number: int) -> None:
        submit(self._yard, number)
        self._submitted += number

    def _waiting(self) -> int:
        """Return how many tasks have not ended; each has three events then."""
        told: Any = self._client.xlen(self._keys.events)
        return self._submitted - int(told) // 3

    def _events(self) -> list[tuple[int, int]]:
        """Return the ids of all events on the stream."""
        return [event_order(one.decode()) for one, _ in self._client.xrange(self._keys.events)]

    def _place(self) -> tuple[int, int]:
        found: Any = self._client.hget(self._keys.recorder, "position")
        return event_order(found.decode()) if found else (0, 0)

    def _reached(self, event: tuple[int, int]) -> tuple[int, int]:
        """Wait until events up to one are recorded, any at all for (0, 0); returns the position."""
        end = time.monotonic() + PATIENCE
        while True:
            place = self._place()
            if place >= event and place > (0, 0):
                return place
            if time.monotonic() > end:
                sys.exit(f"The keeper is at {place}, and should be at {event}.")
            time.sleep(POLL)


def submit(there: Backyard, number: int) -> None:
    """Submit tasks as fast as it goes."""
    note = "Leave it with the neighbours if nobody is there, please, and ring twice"
    payloads = [b'{"customer":%d,"order":"A-%d","note":"%s"}' % (one, one, note.encode()) for one in range(number)]

    async def all_of_them() -> None:
        for at in range(0, number, 1_000):
            await there.submit_many(there.definition("take_order"), payloads[at : at + 1_000], Options())
        await there.ledger.aclose()

    asyncio.run(all_of_them())


def submit_steadily() -> None:
    """Submit tasks one by one, at a steady rate."""
    definition, began = yard.definition("take_order"), time.perf_counter()
    for number in range(int(STEADY * A_SECOND)):
        time.sleep(max(0.0, began + number / A_SECOND - time.perf_counter()))
        yard.submit_sync(definition, b'{"customer":1,"order":"A-1"}', Options())


if __name__ == "__main__":
    submit_steadily()
