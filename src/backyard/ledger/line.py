"""The line: one connection of an event loop, on which concurrent calls share round trips.

What is asked in one turn of the loop, or while a round trip is under way, goes out together with the next one: submits
as one script call, and each other call beside it. Nothing is held back: a lone call goes out in the same turn.
The driver takes about 100 us for a command of its own connection, as much as a whole request costs otherwise.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from backyard.core.errors import QueueFullError
from backyard.ledger.away import refusing
from backyard.ledger.call import Call, Word
from backyard.ledger.calls import Calls
from backyard.ledger.deadline import answered_by
from backyard.ledger.submission import Accepted, Submission

T = TypeVar("T")

#: Tasks submitted by one script call; more would keep the server from others for too long.
BATCH = 250
#: Tasks submitted in one round trip, by as many script calls as that takes: others have their turn in between.
SUBMITS = 4 * BATCH
#: Bytes of input and messages after which a round trip takes no more submits.
BYTES = 1_000_000
#: Calls that share a round trip.
TOGETHER = 256
_CLOSED = "The connection is closed, for the program is closing."


@dataclass(slots=True)
class _Ask:
    """What one caller waits for.

    Args:
        call: The call, as it would be sent alone.
        deadline: When an answer comes too late, by the loop's clock.
        answer: Where it goes.
        submissions: The tasks to be accepted, where the call is a submit: it may share a script call with others.
    """

    call: Call[Any]
    deadline: float
    answer: asyncio.Future[Any]
    submissions: Sequence[Submission] = ()

    def take(self, raw: Any) -> None:
        """Hand the server's answer over, as the caller reads it."""
        if self.answer.done():
            return  # the caller has gone
        if isinstance(raw, Exception):
            self.answer.set_exception(raw)
            return
        try:
            self.answer.set_result(self.call.read(raw))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            self.answer.set_exception(error)


@dataclass(slots=True)
class _Parcel:
    """One command to be sent, and who waits for its answer: several where it is a submit.

    Args:
        call: The command.
        asks: Who waits for it.
        text: Whether the script's text goes with it, since the server does not know it yet.
    """

    call: Call[Any]
    asks: list[_Ask]
    text: bool = False

    def words(self, prefix: str) -> tuple[Word, ...]:
        """Return the command as it goes over the line."""
        script = self.call.script
        if script is None:
            return tuple(self.call.words)
        named: tuple[Word, Word] = ("EVAL", script.text) if self.text else ("EVALSHA", script.sha)
        return (*named, 1, prefix, *self.call.words)

    def settle(self, raw: Any) -> list[_Parcel]:
        """Hand an answer to those who wait for it, or return what has to be sent once more."""
        if isinstance(raw, NoScriptError) and not self.text:
            return [_Parcel(self.call, self.asks, text=True)]
        if len(self.asks) == 1:
            self.asks[0].take(raw)
            return []
        if isinstance(raw, ResponseError):
            if refusing(raw):
                for ask in self.asks:
                    ask.take(raw)
                return []
            return self._apart()
        try:
            accepted: list[Accepted] = self.call.read(raw)
        except QueueFullError:
            return self._apart()
        at = 0
        for ask in self.asks:
            end = at + len(ask.submissions)
            if not ask.answer.done():
                ask.answer.set_result(accepted[at:end])
            at = end
        return []

    def _apart(self) -> list[_Parcel]:
        """Send each caller's tasks by themselves: what one of them meets is no reason to refuse the others'."""
        return [_Parcel(ask.call, [ask]) for ask in self.asks if not ask.answer.done()]


class Line:
    """A connection of one event loop that all its coroutines share.

    Args:
        calls: The yard's calls.
        connect: Makes a connection, not connected yet.
        timeout: Seconds before an unanswered call counts as failed.
    """

    def __init__(self, calls: Calls, connect: Callable[[], AbstractConnection], timeout: float) -> None:
        self._calls = calls
        self._connect = connect
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._connection: AbstractConnection | None = None
        self._waiting: deque[_Ask] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._closed = False

    def ask(self, call: Call[T]) -> asyncio.Future[T]:
        """Send a call that takes the server little time, and is answered with little.

        Args:
            call: The call.

        Returns:
            What will be its answer; the driver's errors pass as they are.
        """
        return self._queue(call, ())

    def submit(self, submissions: Sequence[Submission]) -> asyncio.Future[list[Accepted]]:
        """Accept tasks, in one script call with those of others.

        Args:
            submissions: At most :data:`BATCH` tasks.

        Returns:
            What will be the answer; the driver's errors pass as they are, and a
            :class:`~backyard.core.errors.QueueFullError` is that of these tasks alone.
        """
        return self._queue(self._calls.submit(submissions), submissions)

    async def close(self) -> None:
        """Close the connection; those who still wait are told that the server does not answer."""
        self._closed = True
        serving = self._serving
        if serving is not None:
            serving.cancel()
            await asyncio.wait([serving])
        _fail(self._waiting, RedisConnectionError(_CLOSED))  # where it had not begun
        await self._drop()

    def _queue(self, call: Call[T], submissions: Sequence[Submission]) -> asyncio.Future[T]:
        answer: asyncio.Future[T] = self._loop.create_future()
        if self._closed:
            answer.set_exception(RedisConnectionError(_CLOSED))
            return answer
        self._waiting.append(_Ask(call, self._loop.time() + self._timeout, answer, submissions))
        if self._serving is None:
            # Its first step comes when all that is ready now has had its turn, and has asked as well.
            self._serving = self._loop.create_task(self._serve())
        return answer

    async def _serve(self) -> None:
        """Make round trips until nobody waits."""
        asks: list[_Ask] = []
        try:
            while self._waiting:
                asks = self._next()
                if not asks:
                    continue
                try:
                    # The oldest call's time; whoever came later asks again, if it has to.
                    async with answered_by(asks[0].deadline):
                        await self._deliver(asks)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the callers'
                    await self._drop()
                    _fail(asks, error)
        finally:
            self._serving = None
            _fail([*asks, *self._waiting], RedisConnectionError(_CLOSED))

    def _next(self) -> list[_Ask]:
        """Take the calls of the next round trip out of the queue, but for those whose callers have gone."""
        asks: list[_Ask] = []
        tasks = size = 0
        while self._waiting and len(asks) < TOGETHER:
            ask = self._waiting[0]
            if not ask.answer.done():
                tasks += len(ask.submissions)
                size += sum(len(one.message) for one in ask.submissions)
                if asks and (tasks > SUBMITS or size > BYTES):
                    break
                asks.append(ask)
            self._waiting.popleft()
        return asks

    async def _deliver(self, asks: list[_Ask]) -> None:
        try:
            await self._send(self._parcels(asks))
        except (TypeError, ValueError):
            # One of the calls holds what cannot be sent, and nothing was: whose it is shows when each goes alone.
            if len(asks) == 1:
                raise
            for ask in asks:
                try:
                    await self._send([_Parcel(ask.call, [ask])])
                except (TypeError, ValueError) as error:
                    ask.take(error)

    async def _send(self, parcels: list[_Parcel]) -> None:
        while parcels:
            answers = await self._exchange(parcels)
            parcels = [more for parcel, raw in zip(parcels, answers, strict=True) for more in parcel.settle(raw)]

    def _parcels(self, asks: list[_Ask]) -> list[_Parcel]:
        """Put submits into as few script calls as that takes, and leave the other calls as they are."""
        parcels = [_Parcel(ask.call, [ask]) for ask in asks if not ask.submissions]
        together: list[_Ask] = []
        tasks = 0
        for ask in asks:
            if ask.submissions:
                tasks += len(ask.submissions)
                if together and tasks > BATCH:
                    parcels.append(self._parcel(together))
                    together, tasks = [], len(ask.submissions)
                together.append(ask)
        return [*parcels, self._parcel(together)] if together else parcels

    def _parcel(self, submits: list[_Ask]) -> _Parcel:
        """Make one script call of submits."""
        if len(submits) == 1:
            return _Parcel(submits[0].call, submits)
        return _Parcel(self._calls.submit([one for ask in submits for one in ask.submissions]), submits)

    async def _exchange(self, parcels: list[_Parcel]) -> list[Any]:
        """Send commands and return their answers; a connection that has died meanwhile is replaced, once.

        Repeating is safe: a task that was accepted before the answer was lost is not made twice.
        """
        try:
            return await self._once(parcels)
        except (RedisConnectionError, OSError):
            await self._drop()
            return await self._once(parcels)

    async def _once(self, parcels: list[_Parcel]) -> list[Any]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        prefix = self._calls.keys.prefix
        # The driver's own way is written in Python, and takes as long as all else here.
        packed = [pack_command(parcel.words(prefix)) for parcel in parcels]  # type: ignore[arg-type]  # its stub takes one word
        await connection.send_packed_command(packed, check_health=False)
        answers: list[Any] = []
        for _ in parcels:
            try:
                answers.append(await connection.read_response())
            except ResponseError as error:
                answers.append(error)
        return answers

    async def _drop(self) -> None:
        """Give the connection up: answers that nobody waits for any more may still come on it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def _fail(asks: Iterable[_Ask], error: Exception) -> None:
    for ask in asks:
        if not ask.answer.done():
            ask.answer.set_exception(error)
