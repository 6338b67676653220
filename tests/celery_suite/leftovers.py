"""What may stay in a server after all tasks are done, and what is left over."""

from __future__ import annotations

import re
from typing import Any

import redis

from backyard.ledger.keys import GROUP

#: Keys of a yard that stay, and do not grow with the number of tasks; the index and the events are bounded otherwise,
#: and the lease of a worker that was cut off runs out.
STAY = re.compile(
    r"\{celery\}:(?:counts|events|guards|leases|pulse|queues|tasks|workers|dead|check.*|binding(?::.*|_permanent:.*|_deadlines))$"
)
QUEUE = re.compile(r"\{celery\}:queue:.*:(?:again|high|normal|low)$")


def leftovers(port: int) -> list[str]:
    """Say what is left over in the yard of a plain Celery app.

    Args:
        port: Port of the server, on this machine.
    """
    client: Any = redis.Redis(port=port, decode_responses=True, encoding_errors="replace")
    found: list[str] = []
    for key in sorted(client.scan_iter("{celery}:*", count=1_000)):
        if QUEUE.match(key):
            found += [f"{key}: {length} entries" for length in [client.xlen(key)] if length]
            held = [group["pending"] for group in client.xinfo_groups(key) if group["name"] == GROUP]
            found += [f"{key}: {number} held" for number in held if number]
        elif STAY.match(key):
            if key.endswith(":dead"):
                found += [f"{key}: {size} rows" for size in [client.xlen(key)] if size]
        elif client.ttl(key) < 0:
            found.append(f"{key}: {client.type(key)} without an end{_state(client, key)}")
    client.close()
    return found


def _state(client: Any, key: str) -> str:
    if client.type(key) != "hash":
        return ""
    name, state = client.hmget(key, "name", "state")
    return f" ({name} {state})"
