"""The duty that delivers messages to webhooks, and tries again those that failed."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from backyard.core.errors import SettingsError
from backyard.core.vault import ClosedError, Vault
from backyard.core.webhooks import PREFIX, place_of, signed_headers, wait_after
from backyard.history.database import History
from backyard.history.deliveries import Due, Outcome, claim, settle
from backyard.keeper.answer import Answer, PostError

if TYPE_CHECKING:
    from backyard.keeper.post import Poster

logger = logging.getLogger("backyard.keeper")

#: Messages on their way at once, and of those to one URL: a receiver that hangs does not hold the others up.
AT_ONCE, EACH = 16, 4
#: Seconds that a message is ours; a keeper that dies meanwhile leaves it to others after that.
CLAIM = 20.0
#: Seconds until the next look, where nothing is on its way; and to wait for answers in one step.
REST, PATIENCE = 0.5, 0.5
GONE: Final = 410
#: Characters of an answer that the log keeps.
_SHOWN = 500


class _Done(NamedTuple):
    due: Due
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Sender:
    """What messages are signed with, and where they may go.

    Args:
        secret: Key for the webhooks of definitions and submits; None where there is none.
        vault: The yard's keys, which the secrets of its own webhooks may be sealed with.
        private: Whether messages may go to addresses that are not public.
    """

    secret: str | None = None
    vault: Vault | None = None
    private: bool = False

    def secret_for(self, due: Due) -> str:
        """Return the key that a message is signed with.

        Raises:
            SettingsError: There is none; the message says what to do.
        """
        if due.webhook_id is None:
            if self.secret is None:
                raise SettingsError("There is no key to sign it with: set BACKYARD_WEBHOOK_SECRET.")
            return self.secret
        kept = due.secret or ""
        if kept.startswith(PREFIX):
            return kept
        if self.vault is None:
            raise SettingsError("The webhook's key is sealed: set BACKYARD_SECRET_KEYS as it was when it was made.")
        try:
            return self.vault.open(kept, place_of(due.webhook_id)).decode()
        except ClosedError as error:
            raise SettingsError(f"The webhook's key cannot be opened: {error}.") from error


class Deliver:
    """Sends what is due, up to 16 messages at once.

    Any number may run at once: a message is taken by compare-and-set, and what came of it is written the same way. A
    keeper that dies after the receiver has answered sends the message a second time, with the same ``webhook-id``.

    Args:
        history: Where the messages are.
        sender: What is known of keys and networks.
        clock: Returns the time, in seconds since 1970.
    """

    name = "webhooks"

    def __init__(self, history: History, sender: Sender, clock: Callable[[], float] = time.time) -> None:
        self._history = history
        self._sender = sender
        self._poster: Poster | None = None
        self._clock = clock
        self._runner = asyncio.Runner()
        self._sent: dict[asyncio.Task[Outcome], Due] = {}
        self._unwritten: list[_Done] = []

    def step(self) -> float:
        """Send what is due, and write down what came of it; returns the seconds until the next look.

        Raises:
            HistoryUnavailableError: The database is away; what was sent meanwhile is written later.
        """
        self._write()
        taken = self._take()
        if not taken and not self._sent:
            return REST
        self._runner.run(self._go_on(taken))
        self._write()
        return 0.0

    def close(self) -> None:
        """Give up what is on its way; it is sent again by whoever comes next."""
        if self._poster is not None:
            self._runner.run(self._poster.close())
        self._runner.close()

    def _take(self) -> list[Due]:
        free = AT_ONCE - len(self._sent) - len(self._unwritten)
        if free <= 0:
            return []
        now = self._clock()
        each = Counter(due.url for due in self._sent.values())
        busy = [url for url, number in each.items() if number >= EACH]
        return claim(self._history, int(now * 1000), int((now + CLAIM) * 1000), min(free, EACH), busy)

    async def _go_on(self, taken: list[Due]) -> None:
        """Begin with what was taken, and wait until something has ended."""
        for due in taken:
            self._sent[asyncio.create_task(self._attempt(due))] = due
        done, _ = await asyncio.wait(self._sent, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            self._unwritten.append(_Done(self._sent.pop(task), task.result()))

    async def _attempt(self, due: Due) -> Outcome:
        """Send one message; whatever comes of it is an outcome."""
        began = time.monotonic()
        if not due.enabled:
            error = "The webhook is disabled or was deleted."
            return Outcome("given_up", None, error, None, int(self._clock() * 1000), attempted=False)
        try:
            answer = await self._send(due)
        except (PostError, SettingsError) as error:
            return self._failed(due, None, f"Not delivered: {error}.".replace("..", "."), began)
        except Exception as error:
            logger.exception("The message %s could not be sent; it is tried again.", due.delivery_id)
            return self._failed(due, None, f"{type(error).__name__}: {error}", began)
        if 200 <= answer.status < 300:  # noqa: PLR2004 - what HTTP calls success
            return Outcome("delivered", answer.status, None, time.monotonic() - began, int(self._clock() * 1000))
        return self._failed(due, answer.status, _said(answer), began)

    async def _send(self, due: Due) -> Answer:
        if self._poster is None:
            from backyard.keeper.post import Poster  # noqa: PLC0415 - most keepers never send anything

            self._poster = Poster(private=self._sender.private)
        body = due.body.encode()
        headers = signed_headers(self._sender.secret_for(due), due.delivery_id, int(self._clock()), body)
        return await self._poster.post(due.url, body, headers)

    def _failed(self, due: Due, status: int | None, error: str, began: float) -> Outcome:
        now, seconds = self._clock(), time.monotonic() - began
        gone = status == GONE
        wait = None if gone else wait_after(due.attempts + 1, random.random())  # noqa: S311 - jitter is no secret
        if wait is None:
            logger.warning("The message %s to %s is given up: %s", due.delivery_id, _shown(due.url), error)
            return Outcome("given_up", status, error, seconds, int(now * 1000), gone=gone)
        return Outcome("waiting", status, error, seconds, int(now * 1000), int((now + wait) * 1000))

    def _write(self) -> None:
        while self._unwritten:
            done = self._unwritten[0]
            settle(self._history, done.due, done.outcome)
            self._unwritten.pop(0)


def _said(answer: Answer) -> str:
    if 300 <= answer.status < 400:  # noqa: PLR2004 - what HTTP calls redirection
        return f"It answered {answer.status}, which leads elsewhere: that is not followed. Name the other URL itself."
    text = answer.text.replace("\0", "").strip()[:_SHOWN]
    return f"It answered {answer.status}: {text}" if text else f"It answered {answer.status}."


def _shown(url: str) -> str:
    """Return a URL without its query, which may be a password to its receiver."""
    return url.partition("?")[0]
