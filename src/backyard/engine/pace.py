"""How long tasks take, as far as a worker has seen them: what says how many of them go together."""

from __future__ import annotations

from collections.abc import Sequence

#: Seconds that a batch is to take, about.
BATCH = 0.1
#: How many times as long a batch may be expected to take if its tasks have been taken already: giving some back costs
#: more, and the expectation is that of the longest.
STRETCH = 2
#: Tasks that may take longer, in seconds, go alone.
SHORT = 0.01
#: Seconds that the tasks which are begun together are to take, about.
TOGETHER = 0.01
#: Tasks of a batch, and tasks that are begun together.
MOST, MOST_TOGETHER = 250, 32
#: Seconds that a task takes beside its own.
AROUND = 0.0001
#: What is left of a long run in the expectation, after each batch without one, and of what was usual before.
FADES = 0.5


class Pace:
    """What is expected of each definition's tasks: the longest run of late, for one that is long holds others up.

    And what they usually take, which many of them take together.
    """

    def __init__(self) -> None:
        self._longest: dict[str, float] = {}
        self._usual: dict[str, float] = {}

    def note(self, name: str, seconds: Sequence[float]) -> None:
        """Note what a batch has seen.

        Args:
            name: The definition.
            seconds: How long each of its tasks took.
        """
        known = self._longest.get(name, 0.0)
        self._longest[name] = max(*seconds, known * FADES)
        mean = sum(seconds) / len(seconds)
        self._usual[name] = mean + (self._usual.get(name, mean) - mean) * FADES

    def expected(self, name: str) -> float | None:
        """Return the seconds that a task of a definition may take; None where it may be long, or none was seen yet."""
        longest = self._longest.get(name)
        return None if longest is None or longest > SHORT else longest + AROUND

    def usual(self, name: str) -> float:
        """Return the seconds that a task of a definition usually takes; one was seen before."""
        return self._usual[name] + AROUND


def begun_together(usual: float) -> int:
    """Return how many tasks are to be begun at once.

    Args:
        usual: Seconds that each of them usually takes.
    """
    return max(1, min(MOST_TOGETHER, int(TOGETHER / usual)))


#: What this worker's main process expects.
pace = Pace()
