"""Checks of the Redis server: does it answer, does it keep what it is told, has it room."""

from __future__ import annotations

import re

from backyard.doctor.facts import Facts
from backyard.doctor.finding import Finding, error, fine, warning

OLDEST = (6, 2)
#: Round trips of this many seconds cost throughput; of that many, submits time out.
SLOW, TOO_SLOW = 0.02, 0.5
#: Parts of the memory limit at which to look, and at which submits are about to be refused.
FULL, NEARLY_FULL = 0.95, 0.75
#: Seconds that clocks may differ before times given by clients mean something else than they say.
SKEW = 1.0
#: First releases of each line without the Lua hole that lets whoever may run scripts take the server (CVE-2025-49844).
MENDED = {
    "redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
    "valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
}
CONNECTIONS_OF_API, CONNECTIONS_OF_WORKER = 20, 8


def answers(facts: Facts) -> Finding:
    """Whether the server answers, and how fast."""
    if facts.away:
        return error(
            facts.away, f"Start Redis at {facts.url}, or set BACKYARD_REDIS_URL. `backyard up` brings its own."
        )
    if facts.latency is None:
        return fine("answers")
    text = f"answers in {facts.latency * 1000:.1f} ms"
    if facts.latency >= TOO_SLOW:
        return error(text, "Move workers and API next to the server; beyond BACKYARD_REDIS_TIMEOUT submits answer 503.")
    if facts.latency >= SLOW:
        return warning(text, "Each task takes several round trips: move workers and API next to the server.")
    return fine(text)


def version(facts: Facts) -> Finding:
    """Whether the server is new enough, and not of a release that is known to be bad."""
    kind = "valkey" if facts.info.get("valkey_version") else "redis"
    text = facts.word("valkey_version") or facts.word("redis_version")
    name = f"{kind.capitalize()} {text}"
    found = _numbers(text)
    if kind == "redis" and found[:2] < OLDEST:
        return error(f"{name} is too old", "Install Redis 6.2 or later, or any Valkey.")
    mended = MENDED[kind].get(found[:2])
    newest = max(MENDED[kind])
    if (mended is not None and found[2] < mended) or (mended is None and found[:2] < newest):
        to = f"{found[0]}.{found[1]}.{mended}" if mended is not None else ".".join(map(str, newest))
        return warning(f"{name} has a hole in its Lua (CVE-2025-49844)", f"Install {kind.capitalize()} {to} or later.")
    return fine(name)


def _numbers(text: str) -> tuple[int, int, int]:
    numbers = [int(part) for part in re.findall(r"\d+", text)[:3]]
    first, second, third = (*numbers, 0, 0, 0)[:3]
    return first, second, third


def writes(facts: Facts) -> Finding:
    """Whether the server takes writes at all."""
    if facts.number("loading"):
        return error(
            "the server is loading its data", "Wait until it has loaded; `redis-cli info persistence` shows it."
        )
    if facts.word("role") == "slave":
        return error(
            f"the server is a replica of {facts.word('master_host')}, which refuses writes",
            "Set BACKYARD_REDIS_URL to the primary.",
        )
    if facts.word("aof_last_write_status") not in ("ok", ""):
        return error(
            "the server cannot write its append-only file, and refuses writes",
            "Free space on its disk; its log says why. It goes on by itself.",
        )
    if facts.word("rdb_last_bgsave_status") not in ("ok", "") and _stops_on_bgsave(facts):
        return error(
            "the server's last snapshot failed, and so it refuses writes",
            "Free space on its disk, then `redis-cli bgsave`; or do without snapshots: `redis-cli config set save ''`.",
        )
    return fine("takes writes")


def _stops_on_bgsave(facts: Facts) -> bool:
    """Whether a failed snapshot stops writes; servers that do not tell are taken at their default."""
    config = facts.config or {}
    return config.get("stop-writes-on-bgsave-error", "yes") == "yes" and config.get("save", "unknown") != ""


def durability(facts: Facts) -> Finding:
    """Whether accepted tasks survive the server's end."""
    if not facts.number("aof_enabled"):
        return error(
            "the append-only file is off: a restart of the server loses accepted tasks",
            "`redis-cli config set appendonly yes`, and `appendonly yes` in redis.conf.",
        )
    if facts.word("aof_last_bgrewrite_status") not in ("ok", ""):
        return warning(
            "the last rewrite of the append-only file failed: it grows without end",
            "Free space on the server's disk, then `redis-cli bgrewriteaof`.",
        )
    fsync = (facts.config or {}).get("appendfsync")
    if fsync == "no":
        return warning(
            "appendfsync is 'no': a crash loses what the system had not written yet, half a minute or so",
            "`redis-cli config set appendfsync always` (or everysec), and the same in redis.conf.",
        )
    if fsync == "everysec":
        return warning(
            "appendfsync is 'everysec': a crash of the server may lose its last second of accepted tasks",
            "`redis-cli config set appendfsync always`, and the same in redis.conf; or accept it for the speed.",
        )
    return fine("append-only file on" + (f", appendfsync {fsync}" if fsync else ""))


def eviction(facts: Facts) -> Finding:
    """Whether a full server throws tasks away."""
    policy = facts.word("maxmemory_policy")
    remedy = "`redis-cli config set maxmemory-policy noeviction`, and the same in redis.conf."
    if policy in ("noeviction", ""):
        return fine("noeviction" if policy else "the server does not say what it does when it is full")
    if facts.number("maxmemory"):
        return error(f"maxmemory-policy is {policy}: a full server deletes tasks without a word", remedy)
    return warning(f"maxmemory-policy is {policy}: with a memory limit, a full server would delete tasks", remedy)


def memory(facts: Facts) -> Finding:
    """Whether there is room for more."""
    used, limit = facts.number("used_memory"), facts.number("maxmemory")
    whole = limit or facts.number("total_system_memory")
    if not whole:
        return fine(f"{_megabytes(used)} used")
    text = f"{_megabytes(used)} used of {_megabytes(whole)}{'' if limit else ', which is all the machine has'}"
    more = (
        "Raise it (`redis-cli config set maxmemory ...`)" if limit else "Give the server's machine more memory"
    ) + ", or lower BACKYARD_RESULT_EXPIRES or BACKYARD_EVENTS_KEPT."
    if used >= FULL * whole:
        return error(f"{text}: submits are refused, or about to be", more)
    return warning(text, more) if used >= NEARLY_FULL * whole else fine(text)


def clock(facts: Facts) -> Finding:
    """Whether this host and the server agree on the time. Only the server's clock decides when a task is due."""
    if facts.skew is None:
        return fine("not measured")
    if abs(facts.skew) < SKEW:
        return fine("this host and the server agree")
    return warning(
        f"this host's clock is {abs(facts.skew):.1f} s {'ahead of' if facts.skew > 0 else 'behind'} the server's: "
        "times that it gives (`at`, `eta`) are off by as much",
        "Let both keep time by NTP: `timedatectl set-ntp true`.",
    )


def connections(facts: Facts) -> Finding:
    """Whether the server lets in all that the yard may open."""
    most = facts.number("maxclients") or int((facts.config or {}).get("maxclients", 0))
    now = facts.number("connected_clients")
    may = CONNECTIONS_OF_API + sum(CONNECTIONS_OF_WORKER + 2 * one.max_concurrency for one in facts.living())
    text = f"{now} of {most} connections are open; {len(facts.living())} workers and an API may need {may}"
    remedy = (
        "`redis-cli config set maxclients 10000`, and the same in redis.conf; `ulimit -n` of the server limits it too."
    )
    if not most:
        return fine(f"{now} connections are open")
    if may > most or now >= FULL * most:
        return error(text, remedy)
    return warning(text, remedy) if now >= NEARLY_FULL * most else fine(text)


def cluster(facts: Facts) -> Finding:
    """Whether the server is of a kind that a yard can use."""
    if facts.number("cluster_enabled"):
        return warning(
            "the server is a node of a cluster: a yard lives on the one node that its name hashes to",
            "Point BACKYARD_REDIS_URL at that node, or use a server that is no cluster.",
        )
    return fine("a server of its own")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
