"""The ledger's two shells: the same calls, sent from threads and from event loops."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError
from redis.retry import Retry

from backyard.core.errors import LedgerUnavailableError, UnknownTaskError
from backyard.core.states import State
from backyard.ledger.away import translated
from backyard.ledger.call import Call
from backyard.ledger.calls import Calls
from backyard.ledger.cancel_calls import STEPS
from backyard.ledger.deadline import answered_by
from backyard.ledger.keys import Keys
from backyard.ledger.line import BATCH, Line
from backyard.ledger.outcomes import Outcomes
from backyard.ledger.record import Record
from backyard.ledger.submission import Accepted, Submission

T = TypeVar("T")

#: Connections of an event loop. As many answers may arrive at once, and are dealt with before anything else gets its
#: turn: with 64, opening them and reading lists held the loop for 60 ms.
CONNECTIONS = 16


def _execute(client: Any) -> Any:
    """Return the client's method that sends any command; redis-py leaves it untyped."""
    return client.execute_command


def send(client: redis.Redis, keys: Keys, call: Call[T]) -> T:
    """Send a call with a given client; the driver's errors pass as they are, for Celery knows how to deal with them."""
    if call.script is None:
        return call.read(_execute(client)(*call.words))
    words = (1, keys.prefix, *call.words)
    try:
        answer = _execute(client)("EVALSHA", call.script.sha, *words)
    except NoScriptError:
        answer = _execute(client)("EVAL", call.script.text, *words)
    return call.read(answer)


class Ledger:
    """The live truth of one yard.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` URL of the server.
        yard: The yard's name.
        events_kept: Events kept on the stream, about.
        timeout: Seconds before an unanswered command counts as failed.
    """

    def __init__(self, url: str, yard: str, *, events_kept: int = 100_000, timeout: float = 2.0) -> None:
        self.url = url
        self.keys = Keys(yard)
        self.calls = Calls(self.keys, events_kept)
        self.timeout = timeout
        #: How threads wait for the end of a task.
        self.outcomes = Outcomes(url, self.keys, self._connect, self.record)
        self._sync: redis.Redis | None = None
        self._turns: AbstractContextManager[Any] = nullcontext()
        self._async: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = (
            weakref.WeakKeyDictionary()
        )
        self._lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Line] = weakref.WeakKeyDictionary()

    def share(self, connections: int) -> None:
        """Let threads, however many there are, share a few connections; each call waits for one to be free.

        Args:
            connections: How many there may be.
        """
        self._turns = threading.BoundedSemaphore(connections)

    @property
    def client(self) -> redis.Redis:
        """The client for threads; one a process, connected on first use."""
        if self._sync is None:
            self._sync = redis.Redis.from_url(
                self.url,
                retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
                socket_timeout=self.timeout,
                **self._options(),
            )
        return self._sync

    @property
    def async_client(self) -> redis.asyncio.Redis:
        """The client of the running event loop."""
        loop = asyncio.get_running_loop()
        client = self._async.get(loop)
        if client is None:
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                self.url,
                retry=AsyncRetry(NoBackoff(), 1, (RedisConnectionError,)),
                timeout=self.timeout,
                # With a time limit of its own, the driver writes under ``asyncio.wait_for``, which on Python 3.11 may
                # swallow a cancellation; :meth:`_in_time` limits all of a call.
                socket_timeout=None,
                **self._options(),
                max_connections=CONNECTIONS,
            )
            client = self._async[loop] = redis.asyncio.Redis(connection_pool=pool)
        return client

    @property
    def line(self) -> Line:
        """The connection that the running event loop's small calls share."""
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            connect = self.async_client.connection_pool.make_connection
            line = self._lines[loop] = Line(self.calls, connect, self.timeout)
        return line

    def _connect(self) -> Any:
        """Make a connection like those that threads use, for one of them alone."""
        return self.client.connection_pool.make_connection()

    def _options(self) -> dict[str, Any]:
        connect = min(self.timeout, 1.0)
        return {"socket_connect_timeout": connect, "protocol": 2}

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        with translated(self.url):
            async with answered_by(asyncio.get_running_loop().time() + self.timeout):
                yield

    def run(self, call: Call[T]) -> T:
        """Send a call from a thread.

        Raises:
            LedgerUnavailableError: The server is away or refuses to write.
        """
        with self._turns, translated(self.url):
            return send(self.client, self.keys, call)

    async def arun(self, call: Call[T]) -> T:
        """Send a call from an event loop, never blocking it.

        Raises:
            LedgerUnavailableError: The server is away or refuses to write.
        """
        async with self._in_time():
            client = self.async_client
            if call.script is None:
                return call.read(await _execute(client)(*call.words))
            words = (1, self.keys.prefix, *call.words)
            try:
                answer = await _execute(client)("EVALSHA", call.script.sha, *words)
            except NoScriptError:
                answer = await _execute(client)("EVAL", call.script.text, *words)
            return call.read(answer)

    async def ask(self, call: Call[T]) -> T:
        """Send a call that takes the server little time from an event loop; concurrent ones share a round trip.

        Raises:
            LedgerUnavailableError: The server is away or refuses to write.
        """
        return await self._answer(self.line.ask(call))

    async def _answer(self, answer: asyncio.Future[T]) -> T:
        try:
            return await answer
        except Exception:
            with translated(self.url):
                raise

    def submit(self, submissions: Sequence[Submission]) -> list[Accepted]:
        """Accept tasks from a thread, a batch at a time.

        Raises:
            LedgerUnavailableError: The server is away or refuses to write; the message says how many it has accepted.
        """
        accepted: list[Accepted] = []
        for start in range(0, len(submissions), BATCH):
            with _counted(accepted, submissions):
                accepted.extend(self.run(self.calls.submit(submissions[start : start + BATCH])))
        return accepted

    async def asubmit(self, submissions: Sequence[Submission]) -> list[Accepted]:
        """Accept tasks from an event loop, a batch at a time; errors as for :meth:`submit`."""
        accepted: list[Accepted] = []
        for start in range(0, len(submissions), BATCH):
            with _counted(accepted, submissions):
                part = await self._answer(self.line.submit(submissions[start : start + BATCH]))
                accepted += part
        return accepted

    def cancel(self, task_ids: Sequence[str], *, children: bool = True, gentle: bool = False) -> list[str]:
        """Cancel tasks from a thread; see :meth:`acancel`. A gentle cancel kills nothing that runs."""
        outcomes: list[str] = []
        left = False
        for start in range(0, len(task_ids), BATCH):
            some = task_ids[start : start + BATCH]
            answer = self.run(self.calls.cancel(some, children=children, gentle=gentle))
            outcomes += answer.outcomes
            left = answer.left
        for _ in range(STEPS if left else 0):
            if not self.run(self.calls.descend()):
                break
        return outcomes

    async def acancel(self, task_ids: Sequence[str], *, children: bool = True) -> list[str]:
        """Cancel tasks from an event loop, a batch at a time.

        What is left of their children after many steps, or when this process dies over it, the workers go on with;
        none of them starts meanwhile.

        Args:
            task_ids: The tasks.
            children: Whether what they have submitted is cancelled as well, and what that has submitted.

        Returns:
            For each ``cancelled``, ``requested`` (it runs, and is told), ``final`` or ``unknown``.

        Raises:
            LedgerUnavailableError: The server is away or refuses to write; repeat it.
        """
        outcomes: list[str] = []
        left = False
        for start in range(0, len(task_ids), BATCH):
            answer = await self.arun(self.calls.cancel(task_ids[start : start + BATCH], children=children))
            outcomes += answer.outcomes
            left = answer.left
        for _ in range(STEPS if left else 0):
            if not await self.arun(self.calls.descend()):
                break
        return outcomes

    def record(self, task_id: str) -> Record:
        """Read a record from a thread.

        Raises:
            UnknownTaskError: There is none.
        """
        return _known(task_id, self.run(self.calls.record(task_id)))

    async def arecord(self, task_id: str) -> Record:
        """Read a record from an event loop.

        Raises:
            UnknownTaskError: There is none.
        """
        return _known(task_id, await self.ask(self.calls.record(task_id)))

    async def records(
        self, states: Sequence[State], name: str, limit: int, cursor: tuple[str, str] | None
    ) -> tuple[list[Record], tuple[str, str] | None]:
        """Read a page of records, newest first; also returns the cursor of the next page, None after the last."""
        found: list[str] = []
        while len(found) < limit:
            cursor, more = await self.arun(self.calls.listing(states, name, limit - len(found), cursor))
            found += more
            if cursor is None:
                break
        return await self.arun(self.calls.records(found)) if found else [], cursor

    def close(self) -> None:
        """Close the connections that threads use."""
        self.outcomes.close()
        if self._sync is not None:
            self._sync.close()
            self._sync = None

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        line = self._lines.pop(asyncio.get_running_loop(), None)
        if line is not None:
            await line.close()
        client = self._async.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
            await client.connection_pool.disconnect()


@contextmanager
def _counted(accepted: Sequence[Accepted], submissions: Sequence[Submission]) -> Iterator[None]:
    """Say how much of a submit was accepted before the server went away."""
    try:
        yield
    except LedgerUnavailableError as error:
        if not accepted:
            raise
        raise LedgerUnavailableError(
            f"{error.message} Of {len(submissions)} tasks the first {len(accepted)} were accepted, for certain."
        ) from error


def _known(task_id: str, record: Record | None) -> Record:
    if record is None:
        raise UnknownTaskError(f"No task has the id '{task_id}', or its record's lifetime has ended.")
    return record
