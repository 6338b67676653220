"""A server without memory: what is new is refused and leaves nothing, what is under way comes to its end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from backyard.core.errors import LedgerUnavailableError
from backyard.core.states import State, Verb
from backyard.embedded.server import EmbeddedServer
from backyard.ledger import scripts
from backyard.ledger.scripts import READING, REFUSED
from support.bench import Bench, bench_of


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench on a server of its own, which has memory again in the end."""
    with EmbeddedServer(tmp_path / "data", appendfsync="no") as server, bench_of(server.url) as bench:
        yield bench
        bench.client.config_set("maxmemory", 0)
        bench.check_nothing_lost()


def fill(bench: Bench) -> None:
    bench.client.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        bench.client.set("more", "x")


@contextmanager
def room(bench: Bench) -> Iterator[None]:
    """Have memory for a moment, in which the test turns the clock."""
    bench.client.config_set("maxmemory", 0)
    yield
    fill(bench)


def refused(bench: Bench, *task_ids: str, **options: Any) -> str:
    with pytest.raises(LedgerUnavailableError, match="refuses to write") as caught:
        bench.ledger.submit([bench.submission(task_id, **options) for task_id in task_ids])
    return caught.value.message


def test_what_is_new_is_refused_and_leaves_nothing(bench: Bench) -> None:
    bench.running("a")
    fill(bench)
    before = bench.snapshot()
    assert "free memory" in refused(bench, "new")
    refused(bench, "first", "second", "third", once="key", fingerprint="f", once_lifetime=60)
    refused(bench, "later", due="+1000")
    refused(bench, "again", again=True)

    async def submit() -> None:
        try:
            await bench.ledger.asubmit([bench.submission("looped")])
        finally:
            await bench.ledger.aclose()

    with pytest.raises(LedgerUnavailableError, match="refuses to write"):
        asyncio.run(submit())
    with pytest.raises(LedgerUnavailableError):
        bench.run(bench.calls.put("q", "normal", b"no task"))
    assert bench.snapshot() == before, "something was left behind"
    assert bench.state("a") is State.STARTED, "reading goes on"


def test_what_is_under_way_comes_to_its_end(bench: Bench) -> None:
    for task_id in "abcdefg":
        bench.submit(task_id)
    bench.submit("later", due="+100000")
    bench.submit("dropped")
    fill(bench)
    held = {taken.message.removeprefix("m:"): taken for taken in bench.take(most=7)}
    assert sorted(held) == list("abcdefg")
    for task_id, taken in held.items():
        assert bench.start(task_id, taken.tag).attempt == 1
    assert bench.run(bench.calls.add_lines("a", 1, ['{"line":1}']))
    assert bench.move(Verb.PROGRESS, "a", 1, event="progress", fields={"progress": "{}"}).applied
    assert bench.move(Verb.SUCCEED, "a", 1, fields={"result": "1"}).applied
    assert bench.run(bench.calls.acknowledge([held["a"].place])) == 1
    assert bench.retry("b", 1).outcome == "retried"
    assert bench.cancel("g") == ["requested"]
    assert bench.retry("g", 1).state == "REVOKED", "it stops in place of its retry"
    bench.run(bench.calls.acknowledge([held["g"].place]))
    bench.run(bench.calls.give_back([held["c"].place], "rejected"))
    bench.run(bench.calls.set_aside(*held["d"].place, "no", "Rejected"))
    assert bench.cancel("dropped", "e") == ["cancelled", "requested"]
    assert bench.move(Verb.STOP, "e", 1).applied
    bench.run(bench.calls.acknowledge([held["e"].place]))
    with room(bench):
        bench.make_due("later", "b")
    assert bench.run(bench.calls.promote(10)) == 2
    assert bench.run(bench.calls.renew(60, ["c"], [])) == []
    with room(bench):
        bench.lapse("c")
        bench.end_grace()
    assert bench.run(bench.calls.reap(10)) > 0
    again = bench.take(consumer="other", most=10)
    assert sorted(taken.message for taken in again) == ["m:b", "m:c", "m:d", "m:f", "m:later"]
    for taken, task_id in ((taken, taken.message.removeprefix("m:")) for taken in again):
        started = bench.start(task_id, taken.tag)
        assert started.attempt is not None
        assert bench.move(Verb.SUCCEED, task_id, started.attempt).applied
        bench.run(bench.calls.acknowledge([taken.place]))
    others = [name for name in (*"abcdef", "later", "dropped") if bench.state(name) is not State.SUCCESS]
    assert others == ["e", "dropped"]


def test_memory_is_back(bench: Bench) -> None:
    fill(bench)
    refused(bench, "new")
    bench.client.config_set("maxmemory", 0)
    assert bench.submit("new").outcome == "created"


WRITES = re.compile(
    r"'(?:APPEND|DEL|EXPIRE|HDEL|HINCRBY|HSET|LREM|LTRIM|PERSIST|RPUSH|SADD|SET|SREM|XACK|XADD|XDEL|XGROUP|XREADGROUP|ZADD"
    r"|ZREM)'|\b(?:append|beat|bury|count|drop_entry|emit|enqueue|ensure_group|finish|give_back|park|release|tell|wake)\("
)


@pytest.mark.parametrize("name", sorted(READING | REFUSED))
def test_each_script_is_of_its_kind(name: str) -> None:
    text = files(scripts).joinpath(f"{name}.lua").read_text("utf-8")
    assert bool(WRITES.search(text)) is (name in REFUSED), f"{name} is in the wrong set of scripts/__init__.py"
