"""What can be asked about cancelling: tasks, their children, who has seen it, who has to be told of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backyard.ledger.call import Call, CallBuilder, Word, text_of

#: Children cancelled by one script call; more would keep the server from others for too long.
CHILDREN_AT_ONCE = 200
#: Calls that who cancels makes for the children, before the rest is left to the workers.
STEPS = 100


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer to a cancel.

    Args:
        outcomes: For each task ``cancelled``, ``requested``, ``final`` or ``unknown``.
        left: Whether there are children left to be cancelled; see :meth:`CancelCalls.descend`.
    """

    outcomes: list[str]
    left: bool


@dataclass(frozen=True, slots=True)
class Untold:
    """A task that ended where no worker spoke for it, and whose canvas is to be told.

    Args:
        task_id: The task.
        state: The state it ended in.
        message: The message it was submitted with.
    """

    task_id: str
    state: str
    message: bytes


class CancelCalls(CallBuilder):
    """Calls about cancelling."""

    def cancel(self, task_ids: Sequence[str], *, children: bool = True, gentle: bool = False) -> Call[Cancelled]:
        """Cancel tasks, and the first of their children.

        Args:
            task_ids: The tasks.
            children: Whether what they have submitted is cancelled as well, and what that has submitted.
            gentle: Whether those that run are told and never killed for it.
        """
        words: list[Word] = [
            self.events_kept, "1" if children else "0", "1" if gentle else "0", CHILDREN_AT_ONCE, *task_ids,
        ]  # fmt: skip
        return self._run(
            "cancel", words, lambda rows: Cancelled([text_of(row[0]) for row in rows[1:]], left=bool(rows[0]))
        )

    def descend(self) -> Call[bool]:
        """Go on with the children of cancelled tasks, whoever cancelled them; returns whether there are more."""
        return self._run("descend", [self.events_kept, CHILDREN_AT_ONCE], bool)

    def asked(self, task_id: str, attempt: int) -> Call[bool]:
        """Ask, as a running attempt, whether it is to stop; that it knows is noted."""
        return self._run("asked", [self.events_kept, task_id, attempt], bool)

    def to_stop(self, running: Iterable[tuple[str, int]]) -> Call[list[str]]:
        """Find which running attempts are to stop; nothing is noted of it.

        Args:
            running: Ids of tasks, and the attempts' numbers.
        """
        words: list[Word] = [word for pair in running for word in pair]
        return self._run("stopping", words, lambda rows: [text_of(row) for row in rows])

    def overdue(self, grace: float, held: str, running: Iterable[tuple[str, str]]) -> Call[list[str]]:
        """Find running tasks that were told to stop and have not: those that are to be killed now.

        Args:
            grace: Seconds a task gets to stop by itself.
            held: Why this worker cannot kill a task, for people; empty where it can.
            running: What it runs: ids, and the queue entries (``<lane>/<entry id>``).
        """
        words: list[Word] = [self.events_kept, int(grace * 1000), held]
        for pair in running:
            words += pair
        return self._run("overdue", words, lambda rows: [text_of(row) for row in rows])

    def untold(self, most: int, patience: float) -> Call[list[Untold]]:
        """Take on to tell Celery's canvas of tasks that ended where no worker spoke for them.

        Args:
            most: Tasks at once.
            patience: Seconds after which another may take them on.
        """
        return self._run(
            "untold",
            [most, int(patience * 1000)],
            lambda rows: [Untold(text_of(row[0]), text_of(row[1]), bytes(row[2])) for row in rows],
        )

    def told(self, task_ids: Sequence[str]) -> Call[int]:
        """Say that the canvas of tasks was told."""
        return self._run("told", task_ids, int)
