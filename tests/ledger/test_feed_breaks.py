"""The live feed while connections break, servers go and come back, and at its own end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from backyard.core.errors import LedgerUnavailableError
from backyard.core.states import Verb
from backyard.embedded.server import EmbeddedServer
from backyard.ledger import channels as channels_module
from backyard.ledger.feed import Feed
from support.bench import Bench, bench_of
from support.watching import PATIENCE, Watching, channels, drive, say, subscribers, told, until


def asked_twice(bench: Bench) -> bool:
    return int(bench.client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"]) >= 2


# -- broken connections -----------------------------------------------------------------------------------------------


def test_killed_connections_lose_nothing(bench: Bench) -> None:
    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        watching = Watching(feed, task_id)
        await watching.has(2)
        waiting = asyncio.create_task(feed.outcome(task_id))
        for number in range(5):
            await until(lambda: subscribers(bench))
            assert bench.client.execute_command("CLIENT KILL", "TYPE", "pubsub") >= 1
            say(bench, task_id, 4)
            if number == 3:
                bench.client.execute_command("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
            await watching.has(2 + 4 * (number + 1))
        bench.move(Verb.SUCCEED, task_id, 1)
        assert await watching.end() == told(bench, task_id)
        async with asyncio.timeout(PATIENCE):
            await waiting

    drive(bench, body)


def test_task_that_ends_while_the_connection_is_broken(bench: Bench) -> None:
    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        watching = Watching(feed, task_id)
        waiting = asyncio.create_task(feed.outcome(task_id))
        await watching.has(2)
        await asyncio.sleep(0.05)  # its look at the record
        bench.client.execute_command("CLIENT KILL", "TYPE", "pubsub")
        bench.move(Verb.SUCCEED, task_id, 1)
        assert await watching.end() == told(bench, task_id)
        async with asyncio.timeout(PATIENCE):
            assert (await waiting).final

    drive(bench, body)


def test_watchers_that_come_while_the_connection_breaks(bench: Bench) -> None:
    async def body(feed: Feed) -> None:
        ids = [bench.running(queue=f"q{number}")[0] for number in range(12)]
        watchers = []
        for task_id in ids:
            watchers.append(Watching(feed, task_id))
            bench.client.execute_command("CLIENT KILL", "TYPE", "pubsub")
            await asyncio.sleep(0)
        for task_id in ids:
            say(bench, task_id, 2)
            bench.move(Verb.SUCCEED, task_id, 1)
        for task_id, watching in zip(ids, watchers, strict=True):
            assert await watching.end() == told(bench, task_id)

    drive(bench, body)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "data", appendfsync="no") as server:
        yield server


@pytest.fixture
def own_bench(own_server: EmbeddedServer) -> Iterator[Bench]:
    with bench_of(own_server.url) as bench:
        yield bench
        bench.check_nothing_lost()


def test_restarted_server_loses_nothing(own_server: EmbeddedServer, own_bench: Bench) -> None:
    bench = own_bench

    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        waiting = asyncio.create_task(feed.outcome(task_id))
        watching = Watching(feed, task_id)
        await watching.has(2)
        say(bench, task_id, 1)
        await watching.has(3)
        for number in range(2):
            say(bench, task_id, 3)
            own_server.kill()
            await asyncio.to_thread(own_server.exited.result, PATIENCE)
            await asyncio.to_thread(own_server.start)
            say(bench, task_id, 3)
            await watching.has(3 + 6 * (number + 1))
        bench.move(Verb.SUCCEED, task_id, 1)
        assert await watching.end() == told(bench, task_id)
        async with asyncio.timeout(PATIENCE):
            await waiting

    drive(bench, body)


def test_silent_server_is_left_and_found_again(
    own_server: EmbeddedServer, own_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen, or cut off without a word: no error ever comes, so that silence itself has to be one."""
    monkeypatch.setattr(channels_module, "SILENCE", 0.4)
    bench = own_bench

    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        watching = Watching(feed, task_id)
        await watching.has(2)
        await until(lambda: subscribers(bench))
        first = feed._channels.connection
        await until(lambda: asked_twice(bench))
        assert feed._channels.connection is first, "a silence with a living server is no reason to leave it"
        assert own_server.pid is not None
        os.kill(own_server.pid, signal.SIGSTOP)
        try:
            await until(lambda: feed._channels.connection is not first)
        finally:
            os.kill(own_server.pid, signal.SIGCONT)
        say(bench, task_id, 2)
        await watching.has(4)
        bench.move(Verb.SUCCEED, task_id, 1)
        assert await watching.end() == told(bench, task_id)

    drive(bench, body)


def test_watching_and_waiting_with_the_server_away(own_server: EmbeddedServer, own_bench: Bench) -> None:
    own_bench.submit("a")

    async def body(feed: Feed) -> None:
        own_server.stop()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(LedgerUnavailableError):
                await anext(feed.watch("a"))
            with pytest.raises(LedgerUnavailableError):
                await feed.outcome("a")
        own_server.start()

    drive(own_bench, body)


# -- the end ----------------------------------------------------------------------------------------------------------


def test_close_ends_watchers_and_waits(bench: Bench) -> None:
    async def body(feed: Feed) -> None:
        bench.submit("a")
        watching = Watching(feed, "a")
        waiting = asyncio.create_task(feed.outcome("a"))
        await watching.has(1)
        await until(lambda: channels(bench))
        await feed.close()
        assert len(await watching.end()) == 1
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(LedgerUnavailableError, match="closing"):
                await waiting
            with pytest.raises(LedgerUnavailableError, match="closing"):
                await anext(feed.watch("a"))
        await until(lambda: not subscribers(bench))

    drive(bench, body)


def test_feed_that_nobody_watches_ends_by_itself_and_begins_again(bench: Bench) -> None:
    """A handle's own feed is closed by nobody."""

    async def main() -> None:
        feed = Feed(bench.ledger, linger=0.02)
        for number in range(3):
            task_id, _ = bench.running(queue=f"q{number}")
            watching = Watching(feed, task_id)
            await watching.has(2)
            bench.move(Verb.SUCCEED, task_id, 1)
            assert len(await watching.end()) == 3
            await until(lambda: feed._channels._reader is None)
            assert feed._channels.connection is None
        await until(lambda: not subscribers(bench))
        await bench.ledger.aclose()
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    asyncio.run(main())


def test_loop_that_ends_without_close_leaves_no_connection(bench: Bench) -> None:
    async def main() -> None:
        feed = Feed(bench.ledger)
        bench.submit("a")
        watching = Watching(feed, "a")
        await watching.has(1)
        await until(lambda: subscribers(bench))
        await bench.ledger.aclose()

    asyncio.run(main())
    asyncio.run(until(lambda: not subscribers(bench)))


def test_news_as_clients_see_it(bench: Bench) -> None:
    task_id, _ = bench.running()
    last = bench.events(task_id)[-1]
    shown = json.loads(last.text)
    assert shown == {
        "task_id": task_id, "event": "state", "state": "STARTED", "attempt": 1, "at": last.order[0] / 1000,
        "data": {"worker": "w"},
    }  # fmt: skip
    assert not last.final
