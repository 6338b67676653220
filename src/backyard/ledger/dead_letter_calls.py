"""What can be asked of dead letters: list, look, put back, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backyard.core.dead_letter import DeadLetter
from backyard.ledger.call import Call, CallBuilder, Word, pairs_of, text_of


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it lies on the stream.

    Args:
        letter_id: Its id.
        fields: What it holds, by name.
    """

    letter_id: str
    fields: dict[str, bytes]

    def text(self, name: str) -> str:
        """Return a field as text; empty where there is none."""
        return self.fields.get(name, b"").decode("utf-8", "replace")

    @property
    def message(self) -> bytes:
        """The message, as it stood in its queue."""
        return self.fields.get("m", b"")

    @property
    def at(self) -> datetime:
        """When it was set aside."""
        return _moment(self.letter_id)


class DeadLetterCalls(CallBuilder):
    """Calls about dead letters."""

    @property
    def _dead(self) -> str:
        return f"{self.keys.prefix}dead"

    def dead_letters(self, most: int, before: str = "") -> Call[list[DeadLetter]]:
        """List dead letters, newest first.

        Args:
            most: Letters at once.
            before: Only those set aside before that letter.
        """
        return self._run("dead_letters", [f"({before}" if before else "+", most], _read_rows)

    def dead_letter(self, letter_id: str) -> Call[Letter | None]:
        """Read one with its message; None where there is none of that id."""

        def read(rows: Any) -> Letter | None:
            if not rows:
                return None
            fields = pairs_of(rows[0][1])
            return Letter(letter_id, {text_of(name): value for name, value in fields.items()})

        return Call(["XRANGE", self._dead, letter_id, letter_id], read)

    def requeue(self, letter_id: str, lifetime: int, name: str, payload: bytes) -> Call[tuple[str, str]]:
        """Put a dead letter back into its queue; returns what became of it, and the queue or its task's state.

        Args:
            letter_id: The letter.
            lifetime: For a task without a record: seconds that its new one is kept once final.
            name: The same: its definition's name.
            payload: The same: its input as JSON text.
        """
        words: list[Word] = [self.events_kept, letter_id, lifetime, name, payload]
        return self._run("requeue", words, lambda row: (text_of(row[0]), text_of(row[1]) if len(row) > 1 else ""))

    def delete_dead(self, letter_ids: Sequence[str]) -> Call[int]:
        """Delete dead letters; returns how many there were."""
        return Call(["XDEL", self._dead, *letter_ids], int)

    def delete_dead_until(self, letter_id: str) -> Call[int]:
        """Delete a dead letter and all that are older; returns how many."""
        milliseconds, _, number = letter_id.partition("-")
        return Call(["XTRIM", self._dead, "MINID", f"{milliseconds}-{int(number) + 1}"], int)


def _read_rows(rows: Any) -> list[DeadLetter]:
    found = []
    for row in rows:
        letter_id, queue, lane, reason, task_id, state, name = (one.decode("utf-8", "replace") for one in row[:7])
        found.append(
            DeadLetter(
                letter_id=letter_id, date_created=_moment(letter_id), queue=queue, priority=lane or None, reason=reason,
                task_id=task_id or None, state=state or None, name=name or None, size=int(row[7]),
            )
        )  # fmt: skip
    return found


def _moment(letter_id: str) -> datetime:
    return datetime.fromtimestamp(int(letter_id.partition("-")[0]) / 1000, UTC)
