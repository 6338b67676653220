"""How long tasks take, as far as a worker has seen them: what says how many of them go together."""

from __future__ import annotations

#: Seconds that a batch is to take, about.
BATCH = 0.1
#: Tasks that may take longer, in seconds, go alone.
SHORT = 0.01
#: Seconds that the tasks which are begun together are to take, about.
TOGETHER = 0.01
#: Tasks of a batch, and tasks that are begun together.
MOST, MOST_TOGETHER = 250, 32
#: Seconds that a task takes beside its own.
AROUND = 0.0001
#: What is left of a long run in the expectation, after each batch without one.
FADES = 0.5


class Pace:
    """What is expected of each definition's tasks: the longest run of late, for one that is long holds others up."""

    def __init__(self) -> None:
        self._longest: dict[str, float] = {}

    def note(self, name: str, longest: float) -> None:
        """Note what a batch has seen.

        Args:
            name: The definition.
            longest: Seconds that the longest of its tasks took.
        """
        known = self._longest.get(name, 0.0)
        self._longest[name] = max(longest, known * FADES)

    def expected(self, name: str) -> float | None:
        """Return the seconds that a task of a definition may take; None where it may be long, or none was seen yet."""
        longest = self._longest.get(name)
        return None if longest is None or longest > SHORT else longest + AROUND


def begun_together(expected: float) -> int:
    """Return how many tasks are to be begun at once.

    Args:
        expected: Seconds that each of them may take.
    """
    return max(1, min(MOST_TOGETHER, int(TOGETHER / expected)))


#: What this worker's main process expects.
pace = Pace()
