"""The command ``backyard``: one tree. What a command needs is imported when it runs, so that ``--help`` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from backyard.core.errors import (
    BackyardError,
    DefinitionError,
    MissingLibraryError,
    PoolError,
    PortInUseError,
    SettingsError,
    TargetError,
)
from backyard.embedded import ready
from backyard.engine.waiter import step_aside

DEMO = "backyard.demo:app"
#: The same without HTTP, for the roles that serve none.
DEMO_YARD = "backyard.demo:yard"
#: Errors that starting the same command again cannot cure.
_LASTING = (DefinitionError, MissingLibraryError, PoolError, PortInUseError, SettingsError, TargetError)

_target = click.argument("target", default=DEMO, metavar=f"[MODULE:ATTRIBUTE={DEMO}]")
_yard = click.argument("target", default=DEMO_YARD, metavar=f"[MODULE:ATTRIBUTE={DEMO_YARD}]")
_host = click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
_concurrency = click.option("--concurrency", type=click.IntRange(1), help="Tasks a worker runs at once.")
_path = click.Path(path_type=Path, dir_okay=False)
_port_range = click.IntRange(0, 65_535)


def main() -> None:
    """Run the command line. An expected error is one message on standard error and exit code 1."""
    try:
        commands(prog_name="backyard")
    except BackyardError as error:
        if isinstance(error, _LASTING):
            ready.refuse(str(error))
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def commands() -> None:
    """Background tasks for FastAPI: one typed function becomes an endpoint, a durable task and a recorded result.

    Every setting is an environment variable as well, BACKYARD_ and its name; an option goes before it.
    """
    # A console script has its own folder on the path, where `python -m` has the current one.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


@commands.command()
@_target
@click.option("--reload", is_flag=True, help="Restart API and workers when a Python file here changes.")
@_host
@click.option("--port", type=_port_range, help="Port of the API.  [default: 8000]")
@click.option("--flower-port", type=_port_range, help="Port of Flower.  [default: 5555]")
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="Worker processes.")
@_concurrency
@click.option("--no-flower", is_flag=True, help="Do not run Flower.")
def up(target: str, **options: Any) -> None:
    """Run everything: server, API, workers, keeper and Flower."""
    from backyard.cli.stack import run_stack  # noqa: PLC0415

    settings = _settings(options, "host", "port", "flower_port", "concurrency")
    sys.exit(
        run_stack(
            target,
            settings,
            workers=options["workers"],
            flower=not options["no_flower"],
            reload_dir=Path.cwd() if options["reload"] else None,
        )
    )


@commands.command()
@_target
@_host
@click.option("--port", type=_port_range, help="Port to listen on.  [default: 8000]")
def api(target: str, **options: Any) -> None:
    """Run the HTTP API."""
    settings = _settings(options, "host", "port")
    from backyard.cli.api_role import run_api  # noqa: PLC0415

    run_api(target, settings)


@commands.command()
@_yard
@_concurrency
@click.option("--pool", type=click.Choice(["prefork", "threads", "solo"]), default="prefork", show_default=True)
@click.option("--queues", help="Queues to take from, with commas.  [default: all]")
@click.option("--name", help="Its name before the @.  [default: worker and its process id]")
@click.option("--events/--no-events", default=True, show_default=True, help="Tell Flower what happens.")
@click.option("--stop-grace", type=click.FloatRange(0), help="Seconds running tasks get at SIGTERM.  [default: 30]")
@click.option("--alive-file", type=_path, help="File for `backyard alive` to look at.")
def worker(target: str, **options: Any) -> None:
    """Run a worker."""
    step_aside()
    settings = _settings(options, "concurrency", "stop_grace", "alive_file")
    from backyard.cli.worker_role import WorkerOptions, run_worker  # noqa: PLC0415

    queues = options["queues"].split(",") if options["queues"] else []
    run_worker(
        target, settings, WorkerOptions(options["pool"], tuple(queues), options["name"], events=options["events"])
    )


@commands.command()
@_yard
@click.option("--migrate", "with_migrate", is_flag=True, help="Bring the history up to date first.")
def keeper(target: str, *, with_migrate: bool) -> None:
    """Run a keeper: it records the history, fires schedules and looks after what is due."""
    from backyard.cli.keeper_role import run_keeper  # noqa: PLC0415

    run_keeper(target, _settings({}), with_migrate=with_migrate)


@commands.command()
@_yard
def migrate(target: str) -> None:
    """Bring the history's tables up to date."""
    from backyard.cli.keeper_role import run_migrate  # noqa: PLC0415

    run_migrate(target, _settings({}))


@commands.command()
@_yard
@_host
@click.option("--port", "flower_port", type=_port_range, help="Port to listen on.  [default: 5555]")
def flower(target: str, **options: Any) -> None:
    """Run Flower, which watches workers and queues."""
    settings = _settings(options, "host", "flower_port")
    from backyard.cli.flower_role import run_flower  # noqa: PLC0415

    run_flower(target, settings)


@commands.command()
@_yard
@click.option("--dry-run", is_flag=True, help="Only say what would be repaired.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(target: str, *, dry_run: bool, as_json: bool) -> None:
    """Compare records, queues and leases, and repair what a crash has left.

    Exit code 0: everything fits; 1: something did not.
    """
    from backyard.cli.check_role import run_check  # noqa: PLC0415

    sys.exit(run_check(target, _settings({}), repair=not dry_run, as_json=as_json))


@commands.command()
@click.argument("task_id")
@_yard
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the evidence.")
def why(task_id: str, target: str, *, as_json: bool) -> None:
    """Say why a task is not running, or not finished, yet."""
    from backyard.cli.why_role import run_why  # noqa: PLC0415

    run_why(task_id, target, _settings({}), as_json=as_json)


@commands.command()
@_yard
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(target: str, *, as_json: bool) -> None:
    """Look for what is wrong with the deployment, and say what to do about it.

    Exit code 0: all is well; 1: warnings; 2: errors.
    """
    from backyard.cli.doctor_role import run_doctor  # noqa: PLC0415

    sys.exit(run_doctor(target, _settings({}), as_json=as_json))


@commands.command()
@click.argument("kind", type=click.Choice(["queue", "definition"]))
@click.argument("name")
@_yard
@click.option("--reason", default="", help="Why, for whoever finds it paused.")
def pause(kind: str, name: str, target: str, reason: str) -> None:
    """Start nothing more of a queue or a definition; what runs goes on."""
    from backyard.cli.pause_role import run_pause  # noqa: PLC0415

    run_pause(kind, name, target, _settings({}), reason)


@commands.command()
@click.argument("kind", type=click.Choice(["queue", "definition"]))
@click.argument("name")
@_yard
def resume(kind: str, name: str, target: str) -> None:
    """Let a paused queue or definition go on."""
    from backyard.cli.pause_role import run_resume  # noqa: PLC0415

    run_resume(kind, name, target, _settings({}))


@commands.command()
@click.argument("workers", nargs=-1, metavar="[WORKER]...")
@click.option("--target", default=DEMO_YARD, show_default=True, metavar="MODULE:ATTRIBUTE", help="The yard.")
@click.option("--stay", is_flag=True, help="They stay, idle, instead of ending.")
@click.option("--timeout", type=click.FloatRange(0), help="Seconds to wait.  [default: as long as it takes]")
def drain(workers: tuple[str, ...], target: str, *, stay: bool, timeout: float | None) -> None:
    """Let workers finish what they run and take nothing more; all of them, if none is named.

    Exit code 0: they have; 1: one died, the time was up, or there is no such worker.
    """
    from backyard.cli.drain_role import run_drain  # noqa: PLC0415

    sys.exit(run_drain(target, _settings({}), workers, stay=stay, timeout=timeout))


@commands.command()
@click.option(
    "--file", "path", type=_path, envvar="BACKYARD_ALIVE_FILE", required=True, help="The worker's alive file."
)
@click.option("--max-age", type=click.FloatRange(0), default=15.0, show_default=True, help="Seconds to stand still.")
def alive(path: Path, max_age: float) -> None:
    """Probe a worker: exit code 0 if it lives, 1 with the reason if a part of it stands still."""
    from backyard.cli.alive_role import run_alive  # noqa: PLC0415

    sys.exit(run_alive(path, max_age))


@commands.command()
@_yard
@click.option("--canaries", type=click.IntRange(1), default=200, show_default=True, help="Harmless tasks to submit.")
@click.option("--queues", help="Queues to send them to, with commas.  [default: all that are read]")
@click.option("--seconds", type=click.FloatRange(0), default=0.05, show_default=True, help="How long each one waits.")
@click.option("--last", type=click.FloatRange(0), default=10.0, show_default=True, help="Seconds to submit them in.")
@click.option("--patience", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds to wait for them.")
@click.option("--kill-connections", is_flag=True, help="Close all connections to the Redis server, three times.")
@click.option("--kill-workers", is_flag=True, help="Kill the workers of this machine with SIGKILL, one by one.")
@click.option("--yes", "sure", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def drill(target: str, queues: str | None, **options: Any) -> None:
    """Send canaries through the running deployment, and say what was lost, repeated and how long recovery took.

    It disturbs nothing unless it is told to. Exit code 0: every promise held; 1: one did not.
    """
    from backyard.cli.drill_role import DrillOptions, run_drill  # noqa: PLC0415

    names = tuple(queues.split(",")) if queues else ()
    sys.exit(run_drill(target, _settings({}), DrillOptions(queues=names, **options)))


@commands.command()
def version() -> None:
    """Print the versions of Backyard and of what it stands on."""
    from importlib.metadata import version as version_of  # noqa: PLC0415

    names = ("backyard", "celery", "fastapi", "flower", "redis", "uvicorn")
    click.echo("\n".join(f"{name} {version_of(name)}" for name in names))
    click.echo(f"python {sys.version.split()[0]}")


def _settings(options: dict[str, Any], *names: str) -> Any:
    from backyard.cli.overrides import settings_with  # noqa: PLC0415

    return settings_with({name: options[name] for name in names})
