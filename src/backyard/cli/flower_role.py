"""The role ``flower``: Flower for the yard, with the depth of our queues on its Broker page."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from flower.api.tasks import GetQueueLengths
from flower.app import Flower
from flower.command import apply_env_options, apply_options, extract_settings, setup_logging
from flower.urls import settings as flower_settings
from flower.views.broker import BrokerView
from tornado.options import options as flower_options

from backyard.cli.background import stand_back
from backyard.cli.target import load_target
from backyard.collector import settle
from backyard.embedded import ready
from backyard.embedded.ports import require_free
from backyard.embedded.server import server_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backyard.app import Backyard
    from backyard.settings import Settings


#: Events that Flower takes in before it looks after its pages again.
AT_ONCE = 200


class YardBroker:
    """What Flower asks for the depth of queues. Its own counts Redis lists; our queues are streams."""

    def __init__(self, yard: Backyard) -> None:
        self._yard = yard

    async def queues(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Count the messages that wait, of the queues Flower knows and of all queues of the yard."""
        wanted = sorted({*names, *self._yard.queues()})
        depths = await asyncio.to_thread(self._yard.queue_depths, wanted)
        return [{"name": name, "messages": depths.get(name, 0)} for name in wanted]


class _OurBroker:
    """Mixed into Flower's handlers: they ask the yard."""

    application: Any

    def get_broker(self) -> YardBroker:
        return YardBroker(self.application.yard)


class _BrokerPage(_OurBroker, BrokerView):  # type: ignore[misc]  # Flower ships no types
    pass


class _QueueLengths(_OurBroker, GetQueueLengths):  # type: ignore[misc]  # Flower ships no types
    pass


def take_together(events: Any) -> None:
    """Let Flower take in all that has come with one turn of its loop; a turn for each event is a third of its cost.

    Args:
        events: Flower's thread that receives events.
    """
    waiting: deque[dict[str, Any]] = deque()

    def receive(event: dict[str, Any]) -> None:
        waiting.append(event)
        if len(waiting) == 1:
            events.io_loop.add_callback(take)

    def take() -> None:
        for _ in range(min(len(waiting), AT_ONCE)):
            events.state.event(waiting.popleft())
        if waiting:
            events.io_loop.add_callback(take)

    events.on_event = receive


def build_flower(yard: Backyard, arguments: list[str]) -> Flower:
    """Make Flower's application for a yard.

    Args:
        yard: The yard.
        arguments: Flower's own options; they go before FLOWER_ environment variables.
    """
    apply_env_options()
    apply_options("flower", arguments)
    extract_settings()
    setup_logging()
    app = Flower(capp=yard.celery, options=flower_options, **flower_settings)
    app.yard = yard
    take_together(app.events)
    prefix = f"/{flower_options.url_prefix.strip('/')}" if flower_options.url_prefix else ""
    # Handlers added for every host are asked before those that Flower began with.
    app.add_handlers(r".*", [(f"{prefix}/broker", _BrokerPage), (f"{prefix}/api/queues/length", _QueueLengths)])
    return app


def run_flower(target: str, settings: Settings) -> None:
    """Serve until a signal.

    Args:
        target: ``module:attribute``.
        settings: Where to listen, and where the server is.

    Raises:
        BackyardError: It cannot start.
    """
    require_free(settings.host, settings.flower_port, "--port or BACKYARD_FLOWER_PORT")
    os.environ["BACKYARD_REDIS_URL"] = server_url(settings)
    yard = load_target(target).yard
    app = build_flower(yard, [f"--address={settings.host}", f"--port={settings.flower_port}"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settle()
    stand_back(settings.background_nice)
    app.start_http_server()
    app.io_loop.add_callback(ready.notify)
    try:
        app.start()
    except (KeyboardInterrupt, SystemExit):
        app.stop()
