"""One supervised part of the stack: started, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backyard.core.errors import PartFailedError
from backyard.embedded import ready
from backyard.embedded.child import Child
from backyard.embedded.probe import http_status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from backyard.embedded.guard import Guard

MOST_FAILURES = 5
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_LONG_LIFE = 30.0
_LINES_KEPT = 20
_HTTP_OK, _HTTP_NOT_FOUND = 200, 404


@dataclass(frozen=True)
class Part:
    """What to run, and how to tell that it works.

    Attributes:
        role: Its name in the log.
        command: Program and arguments. It says that it is ready by ``ready.notify()``.
        env: Environment variables beside the supervisor's own.
        ready: URL that must answer 200 as well before the part counts as ready.
        stop_signal: Asks it to stop.
        grace: Seconds until its group is killed.
        stage: Lower stages stop first.
        reload: Whether a changed source file restarts it.
    """

    role: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 2.0
    stage: int = 0
    reload: bool = False


class Runner:
    """Keeps one part running.

    Args:
        part: The part.
        environment: Called at each start for the environment it gets.
        say: Called with role and text of each line to print.
        guard: Told of its process group.
        patient: Whether a part that cannot start is left alone until ``restart``, instead of ending everything.
    """

    def __init__(
        self,
        part: Part,
        *,
        environment: Callable[[], Mapping[str, str]],
        say: Callable[[str, str], None],
        guard: Guard,
        patient: bool = False,
    ) -> None:
        self.part = part
        #: Set while it is ready.
        self.ready = asyncio.Event()
        self._environment = environment
        self._say = say
        self._guard = guard
        self._patient = patient
        self._child: Child | None = None
        self._again = asyncio.Event()
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._failures = 0
        self._pause = _SHORTEST_PAUSE

    async def run(self) -> None:
        """Start the part whenever it is not running, until cancelled; what runs then is left to ``stop``.

        Raises:
            PartFailedError: It ended five times in a row without being ready, or said that it never will be.
        """
        while True:
            self._again.clear()
            child = await self._start()
            if self._again.is_set():  # something changed while it started
                await self.stop()
            watch = asyncio.create_task(self._watch(child))
            began = asyncio.get_running_loop().time()
            code = await asyncio.shield(child.exited)
            watch.cancel()
            was_ready = self.ready.is_set()
            self.ready.clear()
            if self._again.is_set():
                self._failures, self._pause = 0, _SHORTEST_PAUSE
                continue
            lived = asyncio.get_running_loop().time() - began
            await self._mourn(child, code, lived=lived, was_ready=was_ready)

    async def restart(self) -> None:
        """Stop it in its own way; ``run`` starts it again."""
        self._again.set()
        await self.stop()

    async def stop(self) -> None:
        """Ask it to stop, and kill its group when the grace is over."""
        child = self._child
        if child is None:
            return
        child.send(self.part.stop_signal)
        done, _ = await asyncio.wait([child.exited], timeout=self.part.grace)
        if not done:
            self._say(self.part.role, f"did not stop within {self.part.grace:g} s, and is killed")
            child.kill()
            await asyncio.wait([child.exited])

    def kill(self) -> None:
        """Kill its group now."""
        if self._child is not None and not self._child.exited.done():
            self._child.kill()

    async def _start(self) -> Child:
        environment = {**self._environment(), **self.part.env}
        try:
            self._child = await Child.spawn(self.part.command, environment, self._hear, self._guard)
        except OSError as error:
            raise PartFailedError(f"{self.part.role} cannot be started: {error}.") from error
        return self._child

    def _hear(self, line: str) -> None:
        self._lines.append(line)
        self._say(self.part.role, line)

    async def _watch(self, child: Child) -> None:
        """Note when the child is ready."""
        if await asyncio.shield(child.word) != ready.READY.decode():
            return
        if self.part.ready is not None:
            await _until_answered(self.part.ready)
        self.ready.set()

    async def _mourn(self, child: Child, code: int, *, lived: float, was_ready: bool) -> None:
        """Decide how to go on after the child has ended on its own."""
        how = describe_exit(code)
        refused = child.word.result().removeprefix(ready.REFUSED.decode())
        self._failures = 0 if was_ready else self._failures + 1
        if refused not in {"", ready.READY.decode()}:
            await self._give_up(refused)
        elif self._failures >= MOST_FAILURES:
            lines = "".join(f"\n  {line}" for line in self._lines)
            await self._give_up(
                f"{self.part.role} ended {self._failures} times before it was ready, the last time with {how}. "
                f"Its last lines:{lines or ' none'}"
            )
        else:
            self._pause = _SHORTEST_PAUSE if lived > _LONG_LIFE else self._pause
            self._say(self.part.role, f"ended with {how}; it is started again in {self._pause:g} s")
            await self._sleep(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    async def _give_up(self, message: str) -> None:
        if not self._patient:
            raise PartFailedError(message)
        self._say(self.part.role, f"{message}\nwaiting for a change")
        await self._again.wait()
        self._failures, self._pause = 0, _SHORTEST_PAUSE

    async def _sleep(self, seconds: float) -> None:
        with_timeout = asyncio.wait_for(self._again.wait(), seconds)
        try:
            await with_timeout
        except TimeoutError:
            return


async def _until_answered(url: str) -> None:
    while True:
        status = await http_status(url)
        # A user's own app may have its /ready elsewhere: that it answers at all is enough then.
        if status in {_HTTP_OK, _HTTP_NOT_FOUND}:
            return
        await asyncio.sleep(0.1)


def describe_exit(code: int) -> str:
    """Say how a process ended.

    Args:
        code: Its exit code, negative for a signal.
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
