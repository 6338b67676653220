"""What ``backyard up`` runs: the parts, their order, and the lines printed when all are ready."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from backyard.cli import DEMO, DEMO_YARD
from backyard.embedded.parts import Part
from backyard.embedded.ports import free_port, require_free
from backyard.embedded.server import EmbeddedServer
from backyard.embedded.supervisor import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from backyard.settings import Settings

# After nine seconds the supervisor kills whatever is left.
_API_GRACE, _WORKER_GRACE, _KEEPER_GRACE, _FLOWER_GRACE = 3.0, 6.0, 6.0, 2.0
# A worker's own grace is shorter: what is not finished goes back before the supervisor's patience ends.
_HANDING_BACK = 1.5
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def run_stack(target: str, settings: Settings, *, workers: int, flower: bool, reload_dir: Path | None) -> int:
    """Run everything until a signal.

    Args:
        target: ``module:attribute``.
        settings: Where to listen, and the data directory or the address of a server.
        workers: Number of worker processes.
        flower: Whether Flower runs.
        reload_dir: Restart API and workers when a Python file below it changes.

    Returns:
        The exit code.

    Raises:
        PortInUseError: A port is taken; nothing was started.
    """
    ports = {"port": settings.port or free_port()}
    require_free(settings.host, ports["port"], "--port or BACKYARD_PORT")
    if flower:
        ports["flower_port"] = settings.flower_port or free_port()
        require_free(settings.host, ports["flower_port"], "--flower-port or BACKYARD_FLOWER_PORT (or --no-flower)")
    for name, port in ports.items():
        os.environ[f"BACKYARD_{name.upper()}"] = str(port)
    settings = settings.model_copy(update=ports)
    if flower and not settings.flower_url:
        os.environ["BACKYARD_FLOWER_URL"] = _flower_url(settings)
    server = None if settings.redis_url else EmbeddedServer(settings.data_dir)
    supervisor = Supervisor(
        build_parts(target, settings, workers=workers, flower=flower),
        server=server,
        summary=lambda: _summary(settings, server, flower=flower),
        reload_dir=reload_dir,
    )
    return supervisor.run()


def build_parts(target: str, settings: Settings, *, workers: int, flower: bool) -> list[Part]:
    """List the parts, in the order of their start.

    Args:
        target: ``module:attribute``.
        settings: Where to listen.
        workers: Number of worker processes.
        flower: Whether Flower runs.
    """
    yard = DEMO_YARD if target == DEMO else target
    events = "--events" if flower else "--no-events"  # they cost a third of a worker's throughput
    api = Part(
        "api",
        _command("api", target),
        ready=f"{_url(settings.host, settings.port)}/ready",
        grace=_API_GRACE,
        stage=0,
        reload=True,
    )
    parts = [api]
    for number in range(1, workers + 1):
        grace = f"--stop-grace={min(settings.stop_grace, _WORKER_GRACE - _HANDING_BACK):g}"
        command = _command("worker", yard, "--name", f"worker{number}", events, grace)
        parts.append(Part(f"worker{number}", command, grace=_WORKER_GRACE, stage=1, reload=True))
    parts.append(Part("keeper", _command("keeper", yard, "--migrate"), grace=_KEEPER_GRACE, stage=1, reload=True))
    if flower:
        parts.append(Part("flower", _command("flower", yard), grace=_FLOWER_GRACE, stage=1))
    return parts


def _command(role: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "backyard", role, *arguments)


def _url(host: str, port: int) -> str:
    reachable = _EVERYWHERE.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _flower_url(settings: Settings) -> str:
    """Return where Flower is: behind the prefix that its own variable may set."""
    prefix = os.environ.get("FLOWER_URL_PREFIX", "").strip("/")
    return f"{_url(settings.host, settings.flower_port)}/{prefix}"


def _summary(settings: Settings, server: EmbeddedServer | None, *, flower: bool) -> list[str]:
    api = _url(settings.host, settings.port)
    rows = [("Console", f"{api}/console/"), ("API", api), ("API docs", f"{api}/docs")]
    if flower:
        rows.append(("Flower", _url(settings.host, settings.flower_port)))
    if server is not None:
        rows.append(("Redis", f"{server.url} (data in {server.folder.data_dir})"))
    return ["", "Backyard is ready.", *(f"  {name:<9} {value}" for name, value in rows), "Ctrl-C stops it.", ""]
