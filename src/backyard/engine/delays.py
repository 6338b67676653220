"""How long a thread has waited for a processor: what a busy machine adds to a task, and what is not the task's own."""

from __future__ import annotations

from pathlib import Path

#: Nanoseconds that the thread which reads it has run, and waited to run. Source: Linux, Documentation/scheduler/
#: sched-stats.rst. "thread-self" is whoever opens it, so it is opened each time: 10 us.
_SCHEDSTAT = Path("/proc/thread-self/schedstat")


def waited() -> float:
    """Return the seconds that this thread could have run and did not; 0 where the system does not say."""
    try:
        return int(_SCHEDSTAT.read_bytes().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
