"""What a pool's new process inherits of its parent's threads: locks that they held, and that nobody lets go of there.

kombu's cached properties hold a lock of their class at every look, and Python's own before 3.12 while a value is made.
A process that is forked while another thread looks at one waits for ever when it looks itself: a task that has ended
would never be told of, and its place in the pool would be lost.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import cache, cached_property

#: Whose classes the threads of a worker's main process look at.
LIBRARIES = frozenset({"backyard", "celery", "kombu"})


@cache
def install() -> None:
    """Give each process that is forked from this one new locks, from now on."""
    os.register_at_fork(after_in_child=renew_locks)


def renew_locks() -> None:
    """Give each cached property a new lock; only for a process that has no other thread yet."""
    for name, module in list(sys.modules.items()):
        for owner in list(vars(module).values()) if name.partition(".")[0] in LIBRARIES else ():
            if isinstance(owner, type):
                for found in vars(owner).values():
                    if isinstance(found, cached_property) and hasattr(found, "lock"):
                        found.lock = threading.RLock()
