"""What a drill asks of the server: the news of all tasks, or an end to all connections."""

from __future__ import annotations

from typing import Any

from backyard.core.news import News
from backyard.ledger.call import Call, CallBuilder, text_of
from backyard.ledger.events import read_entry


class DrillCalls(CallBuilder):
    """Calls of a drill."""

    def all_news(self, after: str, most: int) -> Call[tuple[str, list[News]]]:
        """Read the events of all tasks; returns the id to go on from, empty at the end.

        Args:
            after: Events later than this id.
            most: Events at once.
        """

        def read(rows: list[Any]) -> tuple[str, list[News]]:
            return text_of(rows[-1][0]) if len(rows) == most else "", [read_entry(row[0], row[1]) for row in rows]

        return Call(["XRANGE", self.keys.events, f"({after}", "+", "COUNT", most], read)

    def cut_connections(self, kind: str) -> Call[int]:
        """Close the connections of all clients of the server, this one's left out; returns how many.

        Args:
            kind: ``normal`` or ``pubsub``.
        """
        return Call(["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"], int)
