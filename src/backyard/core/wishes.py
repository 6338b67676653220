"""What a running task raises to say what is to become of it: another try, a later one, or none."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TypeAlias

#: Seconds, or the same as a duration, or a moment with its time zone.
After: TypeAlias = float | timedelta | datetime
#: Longest wait that can be asked for, in seconds.
LONGEST_WAIT = 10 * 365 * 86_400.0


class Wish(Exception):  # noqa: N818 - no error: what a task asks for
    """What a running task asks for by raising it. It works in ``def`` and ``async def`` functions alike.

    Args:
        message: What is asked for and why, for people.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Retry(Wish):
    """Try this task again: ``raise Retry(after=30)``, or ``raise Retry("rate limited", after=30) from error``.

    It counts as a failed attempt, and spends one of the policy's ``retries``; when they are spent, the task ends in
    FAILURE. It holds whatever ``retry_on`` and ``give_up_on`` say.

    Args:
        reason: Why. Without one, the record shows the error that it was raised from.
        after: Seconds to wait, a ``timedelta``, or a ``datetime`` with its time zone; it may be longer than
            ``backoff_max``. None waits as the policy says.

    Raises:
        ValueError: The time cannot be waited for.
    """

    def __init__(self, reason: str = "", *, after: After | None = None) -> None:
        self.after = None if after is None else checked(after)
        self.reason = reason
        super().__init__(reason or "The task asked for another try.")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the time, as Celery's pools require."""
        return type(self), (self.reason,), {"after": self.after}


class Snooze(Wish):
    """Put this task off: ``raise Snooze(60)``. Nothing has failed, and no retry is spent.

    The task waits and is run anew, by an attempt of the next number. It may be put off any number of times; what limits
    that is the time by which the task ``expires``, if it has one.

    Args:
        after: Seconds to wait, a ``timedelta``, or a ``datetime`` with its time zone.
        reason: Why.

    Raises:
        ValueError: The time cannot be waited for.
    """

    def __init__(self, after: After, reason: str = "") -> None:
        self.after = checked(after)
        self.reason = reason
        super().__init__(reason or "The task put itself off.")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the time, as Celery's pools require."""
        return type(self), (self.after, self.reason)


class GiveUp(Wish):
    """End this task in FAILURE now, whatever retries are left: ``raise GiveUp("no such customer")``.

    Args:
        reason: Why; it becomes the failure's message.
    """


def checked(after: After) -> float | datetime:
    """Return a time to wait, or say why it cannot be waited for.

    Args:
        after: Seconds, a duration, or a moment.

    Raises:
        ValueError: It has no time zone, or is no number of seconds between 0 and ten years.
    """
    if isinstance(after, datetime):
        if after.tzinfo is None:
            raise ValueError(
                "The time to wait for has no time zone. Write datetime.now(UTC) + timedelta(hours=1), say."
            )
        return after
    seconds = after.total_seconds() if isinstance(after, timedelta) else float(after)
    if not math.isfinite(seconds) or not 0 <= seconds <= LONGEST_WAIT:
        raise ValueError(f"A task cannot wait {seconds:g} s: give 0 to {LONGEST_WAIT:.0f} s.")
    return seconds
