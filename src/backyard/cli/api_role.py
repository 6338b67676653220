"""The role ``api``: uvicorn with the yard's app."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import uvicorn

from backyard.cli.target import load_target
from backyard.embedded import ready
from backyard.embedded.ports import require_free
from backyard.embedded.server import server_url
from backyard.logs import set_up

if TYPE_CHECKING:
    import socket

    from backyard.app import Backyard
    from backyard.settings import Settings


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, yard: Backyard) -> None:
        super().__init__(config)
        self._yard = yard

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            ready.notify()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Their clients come back to the next process; the others would have to wait for them.
        await self._yard.end_watching()
        await super().shutdown(sockets)


def run_api(target: str, settings: Settings) -> None:
    """Serve until a signal.

    Args:
        target: ``module:attribute``.
        settings: Where to listen, and where the server is.

    Raises:
        BackyardError: It cannot start.
    """
    require_free(settings.host, settings.port, "--port or BACKYARD_PORT")
    os.environ["BACKYARD_REDIS_URL"] = server_url(settings)
    loaded = load_target(target, to_serve=True)
    app = loaded.app
    if app is None:
        from backyard.api import create_app  # noqa: PLC0415 - a user's own app does not need it

        app = create_app(loaded.yard)
    set_up(settings.log_format, settings.log_level, own=("uvicorn",))
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        log_level=settings.log_level,
        # A request that goes on and on would hold the shutdown for ever.
        timeout_graceful_shutdown=2,
    )
    server = _Server(config, loaded.yard)
    try:
        server.run()
    except KeyboardInterrupt:
        return  # uvicorn has shut down and repeats the signal
    if not server.started:
        sys.exit(3)
