"""The command ``drill``: canaries through a live deployment, disturbed as far as is allowed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from backyard.cli.target import load_target
from backyard.core.errors import UnknownWorkerError
from backyard.core.worker import WorkerState
from backyard.embedded.server import server_url
from backyard.engine.canary import CANARY
from backyard.engine.drill import PROMISED, Disturbance, Drill, Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backyard.core.worker import Worker
    from backyard.ledger.ledger import Ledger
    from backyard.settings import Settings

#: How often connections are closed in one drill.
CUTS = 3


@dataclass(frozen=True)
class DrillOptions:
    """How a drill goes.

    Args:
        canaries: How many are submitted.
        queues: To which queues; none means all that a living worker reads.
        seconds: How long each one waits.
        last: Seconds from the first submit to the last.
        patience: Seconds until what has not ended counts as stuck.
        kill_connections: Whether every client's connection to the server is closed a few times.
        kill_workers: Whether workers of this machine are killed, one after the other.
        sure: Whether nobody is asked.
        as_json: Whether to print JSON.
    """

    canaries: int = 200
    queues: tuple[str, ...] = ()
    seconds: float = 0.05
    last: float = 10.0
    patience: float = 60.0
    kill_connections: bool = False
    kill_workers: bool = False
    sure: bool = False
    as_json: bool = False


def run_drill(target: str, settings: Settings, options: DrillOptions) -> int:
    """Run a drill, and print what became of the canaries.

    Args:
        target: ``module:attribute``.
        settings: Where the server is.
        options: How it goes.

    Returns:
        The exit code: 0 if every promise held, else 1.

    Raises:
        UnknownWorkerError: No worker would run a canary.
        LedgerUnavailableError: The server is away.
    """
    os.environ["BACKYARD_REDIS_URL"] = server_url(settings)
    yard = load_target(target).yard
    try:
        workers = [one for one in yard.workers() if able(one)]
        queues = options.queues or sorted({queue for one in workers for queue in one.queues})
        if not workers or not queues:
            raise UnknownWorkerError("No living worker knows the canary. Start one of this version, and repeat.")
        victims = here(workers) if options.kill_workers else []
        if not options.sure:
            ask(victims, options)
        disturbances = [cutting(yard.ledger)] * CUTS * options.kill_connections + [killing(one) for one in victims]
        drill = Drill(yard.ledger, queues, seconds=options.seconds, patience=options.patience)
        report = drill.run(options.canaries, disturbances, options.last)
    finally:
        yard.ledger.close()
    broken = report.broken(max(PROMISED, yard.settings.lease * 1.5))
    click.echo(
        json.dumps({**asdict(report), "broken": broken}, indent=2) if options.as_json else as_text(report, broken)
    )
    return int(bool(broken))


def able(worker: Worker) -> bool:
    """Whether a worker would run a canary."""
    return worker.alive and worker.state is WorkerState.RUNNING and CANARY in worker.registered_tasks


# -- disturbances -----------------------------------------------------------------------------------------------------


def here(workers: Sequence[Worker]) -> list[Worker]:
    """Return the workers whose processes are on this machine.

    Raises:
        UnknownWorkerError: There is none.
    """
    found = [one for one in workers if one.host == socket.gethostname() and runs(one)]
    if not found:
        names = ", ".join(f"{one.worker_name} (process {one.pid} on {one.host})" for one in workers)
        raise UnknownWorkerError(f"No worker runs on this machine. Run the drill where they are: {names}.")
    return found


def runs(worker: Worker) -> bool:
    """Whether a worker's process is there, and is one: in a container of the same host name, its id says nothing."""
    command = ["ps", "-o", "args=", "-p", str(worker.pid)]
    line = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - a number
    return "worker" in line and ("backyard" in line or "celery" in line)


def killing(worker: Worker) -> Disturbance:
    """Return the end of a worker by SIGKILL."""

    def strike() -> bool:
        if not runs(worker):
            return False
        os.kill(worker.pid, signal.SIGKILL)
        return True

    return Disturbance(f"SIGKILL of {worker.worker_name}", strike, kills=True)


def cutting(ledger: Ledger) -> Disturbance:
    """Return the end of every connection to the server."""

    def strike() -> bool:
        kinds = ("normal", "pubsub")
        return sum(ledger.run(ledger.calls.cut_connections(kind)) for kind in kinds) > 0

    return Disturbance("CLIENT KILL of all connections", strike)


def ask(victims: Sequence[Worker], options: DrillOptions) -> None:
    """Ask whether what is about to be disturbed may be.

    Raises:
        click.Abort: It may not.
    """
    if victims:
        names = ", ".join(one.worker_name for one in victims)
        click.confirm(f"Kill {names} with SIGKILL, one after the other? What they run will run again", abort=True)
    if options.kill_connections:
        click.confirm(f"Close every client's connection to this Redis server, {CUTS} times?", abort=True)


# -- report -----------------------------------------------------------------------------------------------------------


def as_text(report: Report, broken: Sequence[str]) -> str:
    """Return a report for people.

    Args:
        report: What became of the canaries.
        broken: Which promises did not hold.
    """
    refused = f", {report.refused} refused" if report.refused else ""
    lines = [f"{report.accepted} canaries accepted{refused}, {report.done} done."]
    lines += [f"  struck: {what}" for _, what in report.struck]
    recovery = "nothing had to" if report.recovery is None else f"{report.recovery:.1f} s"
    lines += [
        f"  lost      {len(report.lost)}",
        f"  stuck     {len(report.stuck)}",
        f"  failed    {len(report.failed)}",
        f"  repeated  {report.repeated} attempts",
        f"  twice     {len(report.twice)} with more than one outcome",
        f"  recovery  {recovery}",
    ]
    return "\n".join([*lines, *(broken or ["Every promise held."])])
