"""What the doctor's checks judge: read once, so that each check is a rule without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backyard.core.definition import Definition
from backyard.core.worker import Worker
from backyard.ledger.keeper_calls import START, Recorded
from backyard.ledger.server_calls import Burden
from backyard.settings import Settings

EMPTY = Burden(now=0, dead=0, due=0, overdue=0, ready={})


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of a deployment.

    Args:
        settings: This process's settings.
        url: The server's address, fit for messages.
        version: This process's version of Backyard.
        definitions: The definitions known here.
        away: Why the server did not answer; empty where it did.
        info: What it says of itself.
        config: Its settings; None where it does not tell.
        latency: Median of some round trips, in seconds; None where none was measured.
        skew: Seconds by which this host's clock is ahead of the server's; None where that was not measured.
        burden: What lies in the yard.
        workers: The workers that spoke lately.
        recorded: How far the history is; None where no keeper has ever recorded it.
        newest: Id of the newest event.
        environment: This process's environment.
        storage: Why the file storage cannot be used; empty where it can; None where nobody tried.
        disks: Free and total bytes of the disks that local data is on, by folder.
    """

    settings: Settings
    url: str
    version: str
    definitions: Mapping[str, Definition]
    away: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, str] | None = None
    latency: float | None = None
    skew: float | None = None
    burden: Burden = EMPTY
    workers: Sequence[Worker] = ()
    recorded: Recorded | None = None
    newest: str = START
    environment: Mapping[str, str] = field(default_factory=dict)
    storage: str | None = None
    disks: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def living(self) -> list[Worker]:
        """Return the workers that live."""
        return [worker for worker in self.workers if worker.alive]

    def queues(self) -> list[str]:
        """Return the queues of the definitions known here."""
        return sorted({one.policy.queue for one in self.definitions.values()})

    def number(self, name: str) -> int:
        """Return a number that the server says of itself; 0 where it does not."""
        return int(self.info.get(name) or 0)

    def word(self, name: str) -> str:
        """Return a word that the server says of itself; empty where it does not."""
        return str(self.info.get(name) or "")
