"""What keepers ask: who leads a duty, what happened since, how far the history is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from backyard.core.news import News, event_order
from backyard.ledger.call import Call, CallBuilder, Word, pairs_of, text_of
from backyard.ledger.events import read_entry

START = "0-0"


@dataclass(frozen=True, slots=True)
class Recorded:
    """How far the history is.

    Args:
        position: Id of the last event it holds.
        keeper: The keeper that recorded it.
        at: When, in milliseconds since 1970 by the server's clock.
    """

    position: str
    keeper: str
    at: int


class KeeperCalls(CallBuilder):
    """Calls of the role keeper, and of those who ask how far it is."""

    def lead(self, duty: str, who: str, seconds: float) -> Call[bool]:
        """Ask to lead a duty, or to go on leading it.

        Args:
            duty: The duty's name.
            who: The keeper's name.
            seconds: How long it leads without asking again; 0 gives it up.
        """
        return self._run("lead", [duty, who, int(seconds * 1000)], lambda row: int(row) == 1)

    def events_after(self, position: str, most: int, block: float) -> Call[list[News]]:
        """Read the events after one, oldest first; where there are none, wait for the next.

        Args:
            position: Id of that event.
            most: Events at once.
            block: Seconds to wait at most; less than the ledger's timeout.
        """
        words: list[Word] = ["XREAD", "COUNT", most, "BLOCK", int(block * 1000), "STREAMS", self.keys.events, position]
        return Call(words, _read_streams)

    def event(self, event_id: str) -> Call[bool]:
        """Whether the stream still holds an event."""
        return Call(["XRANGE", self.keys.events, event_id, event_id], bool)

    def last_event(self) -> Call[str]:
        """Return the id of the newest event."""
        words: list[Word] = ["XREVRANGE", self.keys.events, "+", "-", "COUNT", 1]
        return Call(words, lambda rows: text_of(rows[0][0]) if rows else START)

    def set_recorded(self, position: str, keeper: str, most: int, *, caught_up: bool) -> Call[int]:
        """Say how far the history is; returns the number of events on the stream.

        Args:
            position: Id of the last event it holds.
            keeper: Who has recorded it.
            most: Events the stream may have before the oldest are lost.
            caught_up: Whether nothing was waiting behind it.
        """
        return self._run("recorded", [self.events_kept, position, keeper, most, "1" if caught_up else "0"], int)

    def recorded(self) -> Call[Recorded | None]:
        """Return how far the history is; None where no keeper has ever recorded."""

        def read(row: Any) -> Recorded | None:
            found = {text_of(name): text_of(value) for name, value in pairs_of(row).items()}
            return Recorded(found["position"], found["keeper"], int(found["at"])) if "position" in found else None

        return Call(["HGETALL", self.keys.recorder], read)

    def audit(self, line: Mapping[str, Any]) -> Call[str]:
        """Put an operator's write onto the stream; returns the event's id."""
        return self._run("audit", [self.events_kept, to_json(line)], text_of)

    def index(self, after: tuple[str, str] | None, most: int) -> Call[tuple[tuple[str, str] | None, list[str]]]:
        """Go through the ids of all tasks, oldest first; returns where to go on from, None at the end, and ids.

        Args:
            after: Where to go on from; None begins with the oldest.
            most: Ids at once.
        """

        def read(rows: list[Any]) -> tuple[tuple[str, str] | None, list[str]]:
            pairs = [(text_of(rows[at]), text_of(rows[at + 1])) for at in range(0, len(rows), 2)]
            if after is not None:
                pairs = [(task_id, score) for task_id, score in pairs if (float(score), task_id) > _place(after)]
            if not pairs:
                return None, []
            return (pairs[-1][1], pairs[-1][0]), [task_id for task_id, _ in pairs]

        lowest = "-inf" if after is None else after[0]
        place = f"{self.keys.prefix}tasks"
        words: list[Word] = ["ZRANGEBYSCORE", place, lowest, "+inf", "WITHSCORES", "LIMIT", 0, most]
        return Call(words, read)


def _place(after: tuple[str, str]) -> tuple[float, str]:
    return float(after[0]), after[1]


def lag_between(position: str, newest: str) -> float:
    """Return the seconds that lie between two events; 0 where the first is not the older one.

    Args:
        position: Id of the one.
        newest: Id of the other.
    """
    first, last = event_order(position), event_order(newest)
    return (last[0] - first[0]) / 1000 if last > first else 0.0


def _read_streams(answer: Any) -> list[News]:
    if not answer:
        return []
    ((_, entries),) = answer.items() if isinstance(answer, dict) else answer
    return [read_entry(entry[0], entry[1]) for entry in entries]
