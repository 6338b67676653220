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
    PortInUseError,
    SettingsError,
    TargetError,
)
from backyard.embedded import ready

DEMO = "backyard.demo:app"
#: Errors that starting the same command again cannot cure.
_LASTING = (DefinitionError, MissingLibraryError, PortInUseError, SettingsError, TargetError)

_target = click.argument("target", default=DEMO, metavar=f"[MODULE:ATTRIBUTE={DEMO}]")
_host = click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
_concurrency = click.option("--concurrency", type=click.IntRange(1), help="Tasks a worker runs at once.")
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
    """Run everything: server, API, workers and Flower."""
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
@_target
@_concurrency
@click.option("--pool", type=click.Choice(["prefork", "threads", "solo"]), default="prefork", show_default=True)
@click.option("--queues", help="Queues to take from, with commas.  [default: all]")
@click.option("--name", help="Its name before the @.  [default: worker and its process id]")
@click.option("--events/--no-events", default=True, show_default=True, help="Tell Flower what happens.")
def worker(target: str, **options: Any) -> None:
    """Run a worker."""
    settings = _settings(options, "concurrency")
    from backyard.cli.worker_role import WorkerOptions, run_worker  # noqa: PLC0415

    queues = options["queues"].split(",") if options["queues"] else []
    run_worker(
        target, settings, WorkerOptions(options["pool"], tuple(queues), options["name"], events=options["events"])
    )


@commands.command()
@_target
@_host
@click.option("--port", "flower_port", type=_port_range, help="Port to listen on.  [default: 5555]")
def flower(target: str, **options: Any) -> None:
    """Run Flower, which watches workers and queues."""
    settings = _settings(options, "host", "flower_port")
    from backyard.cli.flower_role import run_flower  # noqa: PLC0415

    run_flower(target, settings)


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
