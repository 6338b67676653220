"""One child process of the supervisor: its group, its output, and its word that it is ready."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from backyard.embedded import ready
from backyard.embedded.server import dies_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from backyard.embedded.guard import Guard

_LONGEST_LINE = 65_536


class Child:
    """A running command, leader of its own session and process group.

    Args:
        on_line: Called with each line of its output.
        guard: Told of the group, so that nothing of it outlives the supervisor.
    """

    def __init__(self, on_line: Callable[[str], None], guard: Guard) -> None:
        loop = asyncio.get_running_loop()
        #: What it said on the ready pipe: "ready" or "refused ...". Empty when it ended without a word.
        self.word: asyncio.Future[str] = loop.create_future()
        #: Its exit code, when it has ended (negative: the signal).
        self.exited: asyncio.Future[int] = loop.create_future()
        self.pid = 0
        self._on_line = on_line
        self._guard = guard
        self._rest = b""

    @classmethod
    async def spawn(
        cls, command: Sequence[str], env: Mapping[str, str], on_line: Callable[[str], None], guard: Guard
    ) -> Child:
        """Start a command.

        Args:
            command: Program and arguments.
            env: Its whole environment.
            on_line: Called with each line of its output.
            guard: Told of its group.
        """
        child = cls(on_line, guard)
        output, its_output = os.pipe()
        word, its_word = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *dies_with_parent(list(command), signal.SIGKILL),
                env={**env, ready.VARIABLE: str(its_word)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=its_output,
                stderr=its_output,
                pass_fds=(its_word,),
                # Ctrl-C in the terminal is for the supervisor, which stops the parts in their order.
                start_new_session=True,
            )
        except BaseException:
            os.close(output)
            os.close(word)
            raise
        finally:
            os.close(its_output)
            os.close(its_word)
        child._begin(process, output, word)
        return child

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the leader alone: a worker must be able to let its pool finish."""
        if not self.exited.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the whole group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _begin(self, process: asyncio.subprocess.Process, output: int, word: int) -> None:
        self.pid = process.pid
        self._guard.add(self.pid, signal.SIGKILL)
        loop = asyncio.get_running_loop()
        os.set_blocking(output, False)
        os.set_blocking(word, False)
        loop.add_reader(output, self._read_output, output)
        loop.add_reader(word, self._read_word, word)
        self._waiter = loop.create_task(self._wait(process, output, word))

    async def _wait(self, process: asyncio.subprocess.Process, output: int, word: int) -> None:
        code = await process.wait()
        self.kill()  # pool processes of a worker that died without them
        self._guard.drop(self.pid)
        loop = asyncio.get_running_loop()
        loop.remove_reader(output)
        loop.remove_reader(word)
        self._read_output(output)
        self._read_word(word)
        os.close(output)
        os.close(word)
        if self._rest:
            self._emit(self._rest)
        if not self.word.done():
            self.word.set_result("")
        self.exited.set_result(code)

    def _read_output(self, output: int) -> None:
        data = _read(output)
        if data is None:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(output)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._emit(line)
        if len(self._rest) > _LONGEST_LINE:
            self._emit(self._rest)
            self._rest = b""

    def _read_word(self, word: int) -> None:
        data = _read(word)
        if data is None:
            return
        asyncio.get_running_loop().remove_reader(word)
        if not self.word.done():
            self.word.set_result(data.decode(errors="replace").strip())

    def _emit(self, line: bytes) -> None:
        self._on_line(line.decode(errors="replace").rstrip("\r"))


def _read(descriptor: int) -> bytes | None:
    """Read what is there: None when there is nothing now, empty at the end."""
    try:
        return os.read(descriptor, 65_536)
    except BlockingIOError:
        return None
