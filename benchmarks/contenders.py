"""Who is measured, and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import ROOT

#: Where peers are installed, each in an environment of its own.
INSTALLED: Final = ROOT / ".bench"

Count = Callable[[Any], int]


@dataclass(frozen=True)
class Contender:
    """One of those who are measured.

    Attributes:
        name: As it is shown.
        module: In ``benchmarks.peers``.
        requirements: What is installed for it, apart from the project; none: it runs in the project's environment.
        worker: Command of a worker.
        workers: How many of that command are two processes.
        ready: What its worker prints when it is ready; where there is nothing, nobody waits for it.
        companions: Commands of what runs beside its workers.
        server: Command of its HTTP server; PORT is replaced.
        filler: Command that fills its queue, before the number; none: ``fill`` of its module.
        tasks: Empty tasks that keep two of its processes busy for about four seconds.
        waiting: Counts the tasks that wait in its queue.
        stored: Counts the results that it has stored.
        acknowledges: Whether a task outlives the death of its worker.
        durable: Measured with AOF and ``appendfsync always``.
    """

    name: str
    module: str
    requirements: tuple[str, ...] = ()
    worker: tuple[str, ...] = ()
    workers: int = 1
    companions: tuple[tuple[str, ...], ...] = ()
    ready: str = ""
    server: tuple[str, ...] = ()
    filler: tuple[str, ...] = ()
    tasks: int = 10_000
    waiting: Count | None = None
    stored: Count | None = None
    acknowledges: bool = True
    durable: bool = False

    def command(self, words: Sequence[str]) -> list[str]:
        """Return a command as it is started, with the program from the contender's own environment."""
        program, *others = words
        if program == "node":
            return [program, *others]
        there = INSTALLED / self.module / "bin" if self.requirements else Path(sys.executable).parent
        return [str(there / program), *others]

    def fill(self, number: int, *lengths: str) -> list[str]:
        """Return the command that submits so many tasks, empty ones or such as take their time."""
        words = self.filler or ("python", "-m", "benchmarks.peers.fill", self.module)
        return self.command([*words, str(number), *lengths])

    def workers_of_two(self) -> list[list[str]]:
        """Return the commands of two processes that run tasks."""
        return [self.command(self.worker) for _ in range(self.workers)]


def keys(pattern: str) -> Count:
    """Return what counts the keys of a pattern."""
    return lambda client: sum(1 for _ in client.scan_iter(pattern, 10_000))


def uvicorn(module: str) -> tuple[str, ...]:
    """Return the command of a peer's HTTP server: one process, uvloop and httptools, as for Backyard's."""
    options = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    return ("uvicorn", f"benchmarks.peers.{module}:app", "--port", "PORT", *options)


_TARGET: Final = "benchmarks.peers.ours:yard"
_KEEPER: Final = ("backyard", "keeper", _TARGET, "--migrate")

#: Everything switched on: validation, records, leases, and a keeper that records the history.
OURS: Final = Contender(
    "Backyard", "ours",
    worker=("backyard", "worker", _TARGET),
    server=("backyard", "api", _TARGET, "--port", "PORT"),
    companions=(_KEEPER,),
    ready=" ready",
    tasks=24_000,
)  # fmt: skip
DURABLE: Final = replace(OURS, name="Backyard, appendfsync always", durable=True, tasks=8_000)
ALONE: Final = replace(OURS, name="Backyard without a keeper", companions=())
WATCHED: Final = replace(
    OURS, name="Backyard with Flower", companions=(_KEEPER, ("backyard", "flower", _TARGET, "--port", "PORT"))
)
#: The same, asked without an event loop.
SYNC: Final = replace(OURS, name="Backyard, without an event loop")
#: Two workers of one process each, as on two machines.
PAIR: Final = replace(OURS, worker=(*OURS.worker, "--concurrency", "1"), workers=2)
#: One worker of one process, whose tasks are coroutines.
COROUTINES: Final = replace(OURS, module="ours_async", worker=(*OURS.worker, "--concurrency", "1"))
#: What FastAPI itself costs.
BARE: Final = Contender("bare endpoint", "bare", server=uvicorn("bare"))
HANDWIRED: Final = Contender(
    # As in FastAPI's and Celery's own documentation: nothing is set that they do not set.
    "hand-wired", "handwired", ("celery[redis]",),
    worker=("celery", "-A", "benchmarks.peers.handwired:celery", "worker", "-c", "2"),
    server=uvicorn("handwired"),
    tasks=4_000,
    waiting=lambda client: int(client.llen("celery")),
    stored=keys("celery-task-meta-*"),
    acknowledges=False,
)  # fmt: skip

_PEERS: Final = "benchmarks.peers"
TASKIQ: Final = Contender(
    # Streams, the broker of its that acknowledges; the rest is its default: 2 processes, 100 coroutines in each.
    "taskiq", "taskiq", ("taskiq", "taskiq-redis"),
    worker=("taskiq", "worker", f"{_PEERS}.taskiq:broker", "--workers", "2", "--log-level", "WARNING"),
    server=uvicorn("taskiq"),
    tasks=12_000,
    waiting=lambda client: int(client.xlen("taskiq")),
    stored=lambda client: sum(1 for key in client.scan_iter(count=10_000) if key != b"taskiq"),
)  # fmt: skip
ARQ: Final = Contender(
    # By default it takes 10 tasks and sleeps half a second; here 100, and 10 ms; and uvloop.
    "arq", "arq", ("arq",),
    worker=("arq", f"{_PEERS}.arq.WorkerSettings"),
    workers=2,
    server=uvicorn("arq"),
    tasks=6_000,
    waiting=lambda client: int(client.zcard("arq:queue")),
    stored=keys("arq:result:*"),
)  # fmt: skip
SAQ: Final = Contender(
    # Its default, 10 coroutines at once in each process: 100 were slower; and uvloop.
    "saq", "saq", ("saq[redis]",),
    worker=("saq", f"{_PEERS}.saq.settings", "--workers", "2", "--quiet"),
    server=uvicorn("saq"),
    tasks=12_000,
    waiting=lambda client: int(client.llen("saq:default:queued")),
    stored=lambda client: keys("saq:job:default:*")(client) - int(client.zcard("saq:default:incomplete")),
)  # fmt: skip
STREAQ: Final = Contender(
    # 32 coroutines at once in each process, and 100 prefetched: faster than its defaults, 16 and as many.
    "streaQ", "streaq", ("streaq",),
    worker=("streaq", "run", f"{_PEERS}.streaq:worker", "--workers", "2"),
    server=uvicorn("streaq"),
    tasks=6_000,
    waiting=keys("streaq:default:task:data:*"),
    stored=keys("streaq:default:task:results:*"),
)  # fmt: skip
_DIGEST: Final = 32
DRAMATIQ: Final = Contender(
    # Its defaults: 8 threads in each process.
    "dramatiq", "dramatiq", ("dramatiq[redis]",),
    worker=("dramatiq", f"{_PEERS}.dramatiq", "--processes", "2", "--threads", "8"),
    server=uvicorn("dramatiq"),
    tasks=12_000,
    waiting=lambda client: int(client.llen("dramatiq:default")),
    # Names of its results are digests.
    stored=lambda client: sum(1 for key in client.scan_iter(count=10_000) if len(key) == _DIGEST),
)  # fmt: skip
HUEY: Final = Contender(
    # Processes, as for work that computes.
    "huey", "huey", ("huey", "redis"),
    worker=("huey_consumer", f"{_PEERS}.huey.huey", "-k", "process", "-w", "2", "-q"),
    server=uvicorn("huey"),
    tasks=16_000,
    waiting=lambda client: int(client.llen("huey.redis.bench")),
    stored=lambda client: int(client.hlen("huey.results.bench")),
    acknowledges=False,
)  # fmt: skip
RQ: Final = Contender(
    # SimpleWorker, which does not fork for each task: five times as fast.
    "rq", "rq", ("rq",),
    worker=("rq", "worker-pool", "-n", "2", "-w", "rq.worker.SimpleWorker", "-u", "URL", "-q"),
    server=uvicorn("rq"),
    tasks=2_000,
    waiting=lambda client: int(client.llen("rq:queue:default")),
    stored=keys("rq:results:*"),
    acknowledges=False,
)  # fmt: skip
BULLMQ: Final = Contender(
    # Another language: 100 at once in each of two Node processes, and tasks added in bulk.
    "BullMQ (Node)", "bullmq", ("bullmq", "ioredis"),
    worker=("node", str(ROOT / "benchmarks/peers/bullmq_worker.mjs")),
    workers=2,
    filler=("node", str(ROOT / "benchmarks/peers/bullmq_fill.mjs")),
    tasks=40_000,
    waiting=lambda client: int(client.llen("bull:mark:wait")),
    stored=lambda client: int(client.zcard("bull:mark:completed")),
)  # fmt: skip
#: Libraries that submit from an endpoint of FastAPI.
LIBRARIES: Final = (TASKIQ, ARQ, SAQ, STREAQ, DRAMATIQ, HUEY, RQ)
PEERS: Final = (*LIBRARIES, BULLMQ)
