"""What time brings: waiting tasks that are due are queued, and those that may not start any more are ended."""

from __future__ import annotations

import time
from collections.abc import Callable

from backyard.ledger.call import Call
from backyard.ledger.calls import Calls

#: Tasks of one script call: three milliseconds, for which the server does nothing else (28 us each were measured).
AT_ONCE = 100
#: Longest pause between two calls, in seconds.
PAUSE = 0.01
#: Milliseconds that a turn is kept between two calls.
TURN = 50


def keep_time(send: Callable[[Call[int]], int], calls: Calls, who: str, longest: float) -> int:
    """Move what is due now, or as much of it as takes no long time; returns how many tasks.

    Where there is much, one process at a time goes on with it, and leaves the server half of the time to others.

    Args:
        send: Sends a call.
        calls: The yard's calls.
        who: A name of the process, so that processes can take turns.
        longest: Seconds after which the process has other things to do, such as to renew its leases.
    """
    end = time.monotonic() + longest
    moved = 0
    for verb in (calls.expire, calls.promote):
        while True:
            began = time.monotonic()
            now = send(verb(AT_ONCE))
            moved += now
            if now < AT_ONCE or time.monotonic() > end or not send(calls.turn(who, TURN)):
                break
            time.sleep(min(time.monotonic() - began, PAUSE))
    return moved
