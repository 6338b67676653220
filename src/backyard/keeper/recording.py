"""The duty that records: news from the ledger's stream into the history, as it comes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from backyard.history.database import History
from backyard.history.recorder import Outbox, OvertakenError, Recorder
from backyard.ledger.keeper_calls import START
from backyard.ledger.ledger import Ledger
from backyard.ledger.record import Record

logger = logging.getLogger("backyard.keeper")

#: Events in one transaction at most: others who write wait for it.
TOGETHER: Final = 2_000
#: Seconds to wait for news in one look, and between two looks: what comes meanwhile is one transaction.
BLOCK, GATHER = 0.5, 0.02
#: The same where a look has brought as many events as this. A transaction costs 2 ms, however small; and where all of a
#: task is in one, its row is written once.
BUSY, GATHER_BUSY = 50, 0.2
#: What a step that leaves more behind takes is rested so many times: a keeper that is behind would take the cores from
#: those whose tasks it records, and it is quick enough with a third of one. Not where half of what may wait does.
REST: Final = 2
#: Ids that are compared in one step, and records that are asked for at once.
COMPARED, ASKED = 5_000, 200
#: Fields of a record that are no part of its history.
_OURS: Final = frozenset({"message", "token", "untold", "entry", "exception", "celery", "custom"})


class Recording:
    """Records the news of a yard.

    Args:
        ledger: Where the news is.
        history: Where it goes.
        keeper: The keeper's name.
        most: Events that may wait on the stream while the history is away.
        outbox: What final states set off, see :class:`~backyard.history.recorder.Recorder`.
        prepare: Called before the first look; brings the history up to date, say.
    """

    name = "record"

    def __init__(
        self,
        ledger: Ledger,
        history: History,
        keeper: str,
        most: int,
        outbox: Outbox | None = None,
        *,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self._ledger = ledger
        self._keeper = keeper
        self._prepare = prepare
        self._most = most
        self._recorder = Recorder(history, self._fetch, outbox)
        self._position: str | None = None
        self._compare = False
        self._compared: tuple[str, str] | None = None

    def step(self) -> float:
        """Record what has come since; returns the seconds until the next look."""
        try:
            return self._step()
        except OvertakenError:
            self._position = None
            return 0.0
        except BaseException:
            # Whether the transaction was kept is not known: the history itself says how far it is.
            self._position = None
            raise

    def _step(self) -> float:
        position = self._position or self._open()
        news = self._ledger.run(self._ledger.calls.events_after(position, TOGETHER, BLOCK))
        caught_up, began, waiting = len(news) < TOGETHER, time.monotonic(), 0
        if news:
            self._position = self._recorder.record(news)
            waiting = self._say(caught_up=caught_up)
        if caught_up and self._compare:
            self._go_on_comparing()
            return 0.0
        if not caught_up:
            return 0.0 if waiting > self._most / 2 else REST * (time.monotonic() - began)
        return GATHER if len(news) < BUSY else GATHER_BUSY

    def _open(self) -> str:
        """Find out how far the history is, and whether the stream goes on from there."""
        if self._prepare is not None:
            self._prepare()
            self._prepare = None
        position = self._recorder.position()
        if position is None:
            self._recorder.begin(START)
            position = START
        calls = self._ledger.calls
        if position == START or not self._ledger.run(calls.event(position)):
            # Older tasks than the stream, or events that were lost: the records themselves tell.
            self._compare, self._compared = True, None
        self._position = position
        self._say(caught_up=False)
        return position

    def _say(self, *, caught_up: bool) -> int:
        """Say how far the history is; returns the events on the stream."""
        call = self._ledger.calls.set_recorded(self._position or START, self._keeper, self._most, caught_up=caught_up)
        return int(self._ledger.run(call))

    # -- records --------------------------------------------------------------------------------------------------

    def _go_on_comparing(self) -> None:
        """Take over from the ledger what no news has told of."""
        calls = self._ledger.calls
        self._compared, task_ids = self._ledger.run(calls.index(self._compared, COMPARED))
        for at in range(0, len(task_ids), ASKED):
            records = self._fetch(task_ids[at : at + ASKED])
            different = self._recorder.different(records)
            if different:
                self._recorder.adopt(different)
                logger.info("%d tasks were taken over from the ledger, without their news.", len(different))
        self._compare = self._compared is not None

    def _fetch(self, task_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        found: dict[str, Mapping[str, str]] = {}
        for at in range(0, len(task_ids), ASKED):
            for record in self._ledger.run(self._ledger.calls.records(task_ids[at : at + ASKED])):
                found[record.task_id] = fields_of(record)
        return found


def fields_of(record: Record) -> dict[str, str]:
    """Return what the history keeps of a record."""
    return {name: value.decode("utf-8", "replace") for name, value in record.fields.items() if name not in _OURS}
