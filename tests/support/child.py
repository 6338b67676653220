"""What a process of a worker's pool does with a batch, done in a thread of the test's own process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from backyard import Backyard
from backyard.engine.batch import run_batch
from backyard.engine.telling import Told
from backyard.ledger.record import Record
from backyard.submit import Options, submission

HOSTNAME = "worker@here"


class Child:
    """A process of the pool, as far as the tasks of its batches can tell."""

    def __init__(self, yard: Backyard) -> None:
        self.yard = yard
        self.thread = ThreadPoolExecutor(1, initializer=yard.celery.set_current)

    def deliver(self, name: str, *payloads: str) -> list[Any]:
        """Submit tasks, and return their entries."""
        definition, ledger = self.yard.definition(name), self.yard.ledger
        inputs = [definition.encode(definition.parse(one)) for one in payloads]
        ledger.submit([submission(definition, one, Options(), self.yard.settings) for one in inputs])
        client: Any = ledger.client
        found = client.xrange(ledger.keys.queue("default", "normal"))
        return [("default", "normal", entry.decode(), fields[b"m"], False) for entry, fields in found]

    def run(self, name: str, *payloads: str, at_once: int = 32) -> list[tuple[Told, Record]]:
        """Run tasks in one batch, and return what it tells of them, with their records."""
        rows = self.deliver(name, *payloads)
        told = self.thread.submit(run_batch, rows, HOSTNAME, at_once).result(60)
        calls = self.yard.ledger.calls
        records = [self.yard.ledger.run(calls.record(one[0])) for one in told]
        return [(one, record) for one, record in zip(told, records, strict=True) if record is not None]

    def run_two(self, name: str) -> list[Record]:
        """Run two tasks without input in one batch, and return their records."""
        return [record for _, record in self.run(name, "{}", "{}")]

    def close(self) -> None:
        """End."""
        self.thread.shutdown()
        self.yard.ledger.close()
