"""The process that waits for a worker: whatever ends the worker, somebody is there to say how.

``backyard worker`` becomes this program, and starts the worker as its child in a process group of its own: a task that
kills its whole group does not reach the one who waits. It passes signals on, tells the guardian how the worker ended,
lets the guardian finish, and ends in the same way. As a container's first process it so keeps the guardian alive.

Run as a file, ``python -I -S waiter.py COMMAND...``, so that it takes 9 MB and no import of the package.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from typing import Any

#: Tells the worker who waits for it: process id and number of the pipe to be read.
VARIABLE = "BACKYARD_WAITER"
PASSED_ON = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
#: Seconds the guardian may take to give back what a dead worker held.
PATIENCE = 6.0
PR_SET_PDEATHSIG = 1

#: In a worker: who waits for it, and the pipe on which that one will tell its end; None where nobody does.
waited_by: tuple[int, int] | None = None


def step_aside() -> None:
    """Become the process that waits, and go on in its child; there, note who waits and return."""
    global waited_by  # noqa: PLW0603 - once a process
    who, _, pipe = os.environ.pop(VARIABLE, "").partition(" ")
    if who == str(os.getppid()):
        os.set_inheritable(int(pipe), False)  # noqa: FBT003 - no keyword there
        waited_by = int(who), int(pipe)
    elif hasattr(os, "fork"):
        command = [sys.executable, "-I", "-S", __file__, sys.executable, *sys.orig_argv[1:]]
        os.execv(sys.executable, command)  # noqa: S606 - this very program, one step further back


def main() -> None:
    """Start the command, wait for it, and end as it does."""
    reading, telling = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    child = os.fork()
    if child == 0:
        os.close(telling)
        become(sys.argv[1:], os.getppid(), reading)
    os.close(reading)
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: send(child, number))
    # The guardian stops the worker when this process is stopped, for nobody can pass that on.
    signal.signal(signal.SIGCONT, lambda *_: wake(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    status = wait_for(child)
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)  # a pool that has lost its head
    with contextlib.suppress(OSError):
        os.write(telling, json.dumps(ending(status)).encode())
    let_finish(telling)
    end_alike(status)


def become(command: list[str], parent: int, reading: int) -> None:
    """Be the worker: in a group of its own, and not without the one who waits for it."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only the child needs it

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.set_inheritable(reading, True)  # noqa: FBT003 - no keyword there
    os.environ[VARIABLE] = f"{parent} {reading}"
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    os.execv(command[0], command)  # noqa: S606 - what this program was started with


def send(child: int, number: int) -> None:
    """Pass a signal on; one that comes when the worker is gone ends the waiting."""
    try:
        os.kill(child, number)
    except ProcessLookupError:
        os._exit(128 + number)


def wake(child: int) -> None:
    """Let the worker and its pool go on."""
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGCONT)


def wait_for(child: int) -> int:
    """Return the child's status; others that end meanwhile are a container's orphans."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return status


def ending(status: int) -> dict[str, Any]:
    """Return a wait status in the words of the evidence."""
    if os.WIFSIGNALED(status):
        return {"signal": signal.Signals(os.WTERMSIG(status)).name}
    return {"exit_code": os.WEXITSTATUS(status)}


def let_finish(telling: int) -> None:
    """Wait until nobody reads the pipe any more: then the guardian has done its work."""
    poll = select.poll()
    poll.register(telling, 0)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and not poll.poll(100):
        pass


def end_alike(status: int) -> None:
    """End with the child's exit code, or by the signal that ended it."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        no_second_core()
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # a container's first process is not to be killed so
    os._exit(os.WEXITSTATUS(status))


def no_second_core() -> None:
    """Keep the system from writing what was in memory here, beside what was in the worker's."""
    import resource  # noqa: PLC0415 - once a life

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
