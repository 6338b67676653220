"""The sign of life: a file that tells a probe which part of a worker stands still, if one does."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from backyard.engine.intake import intake
from backyard.engine.pulse import pulses

logger = logging.getLogger("backyard.alive")


class SignOfLife:
    """Writes when each part of the worker was last seen at work. The file's own time is that of the slowest part.

    ==========  ====================================================================================================
    main loop   came round; not looked at while a solo pool's task has the only thread, and while the worker ends
    server      heard the worker, and renewed its leases
    takes       began to read the queues; not looked at while the worker is full, drains or ends, nor in a solo task
    ==========  ====================================================================================================

    Args:
        path: The file.
        heard: Says when the server last heard the worker, by the monotonic clock.
        held: Whether the main thread rightly does something else now.
        lease: Seconds a lease lasts; it is renewed four times in that time.
    """

    def __init__(self, path: Path, heard: Callable[[], float], held: Callable[[], bool], lease: float) -> None:
        self.path = path
        self._heard = heard
        self._held = held
        self._lease = lease
        self._complained = False
        self._removed = False
        self._lock = threading.Lock()

    def write(self) -> None:
        """Write the file, whole or not at all. That it cannot be written is said once, and the probe will fail."""
        now, wall = time.monotonic(), time.time()
        seen = {name: round(wall - (now - moment), 3) for name, moment in self.moments(now).items()}
        text = json.dumps({"pid": os.getpid(), "written": round(wall, 3), "parts": seen})
        try:
            fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            fresh.write_text(text)
            slowest = min(seen.values())
            os.utime(fresh, (slowest, slowest))
            with self._lock:
                fresh.unlink() if self._removed else fresh.replace(self.path)
        except OSError as error:
            if not self._complained:
                logger.error("The sign of life cannot be written: %s", error)  # noqa: TRY400 - the sentence says it all
            self._complained = True

    def moments(self, now: float) -> dict[str, float]:
        """Return when each part was last seen at work, by the monotonic clock.

        Args:
            now: This moment.
        """
        # Between two renewals nothing is to be seen of them.
        renewed = (one.renewed for one in pulses() if now - one.renewed > self._lease / 2)
        held = self._held()
        return {
            "main loop": now if held else intake.turns,
            "server": min((self._heard(), *renewed)),
            "takes": now if held or intake.closed else intake.reads,
        }

    def remove(self) -> None:
        """Take the file away at the end, so that nobody takes it for a living worker's."""
        with self._lock:
            self._removed = True  # one that is being written now comes too late
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                logger.debug("The sign of life stays: %s", error)


def stands_still(path: Path, max_age: float, now: float) -> str:
    """Say in one line what stands still and since when; empty if nothing does.

    Args:
        path: The file that a worker writes.
        max_age: Seconds a part may be silent.
        now: The time, in seconds since 1970.
    """
    try:
        told = json.loads(path.read_text())
        written, parts = float(told["written"]), {str(name): float(at) for name, at in told["parts"].items()}
    except FileNotFoundError:
        return f"no worker writes {path}: it has not started, or it has ended"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{path} cannot be read as a worker's sign of life: {error}"
    if now - written > max_age:
        return f"the whole worker stands still since {_clock(written)} ({now - written:.0f} s)"
    slow = [f"{name} (since {_clock(at)}, {now - at:.0f} s)" for name, at in parts.items() if now - at > max_age]
    return f"stands still: {', '.join(slow)}" if slow else ""


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))
