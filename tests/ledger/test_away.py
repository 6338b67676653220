"""A server that is away, frozen, full or new: errors in time, nothing left behind, and back to work at once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from backyard.core.errors import LedgerUnavailableError
from backyard.embedded.server import EmbeddedServer
from backyard.ledger.away import shown, translated, unavailable
from backyard.ledger.ledger import Ledger
from support.bench import Bench, bench_of
from support.processes import free_port

#: Seconds. The design promises 3; a busy machine gets some more, and the driver left to itself would take 5.
PROMISED = 4.5


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "data", appendfsync="no") as server:
        yield server


@pytest.fixture
def own_bench(server: EmbeddedServer) -> Iterator[Bench]:
    with bench_of(server.url) as bench:
        yield bench
        bench.check_nothing_lost()


def in_thread(ledger: Ledger, task_id: str) -> Any:
    return ledger.submit([Bench(ledger).submission(task_id)])


def in_loop(ledger: Ledger, task_id: str) -> Any:
    async def submit() -> Any:
        try:
            return await ledger.asubmit([Bench(ledger).submission(task_id)])
        finally:
            await ledger.aclose()

    return asyncio.run(submit())


def listed(ledger: Ledger, _: str) -> Any:
    async def look() -> Any:
        try:
            return await ledger.records([], "", 5, None)
        finally:
            await ledger.aclose()

    return asyncio.run(look())


both = pytest.mark.parametrize("ask", [in_thread, in_loop, listed])
Ask = Callable[[Ledger, str], Any]


def given_up_in_time(ask: Ask, ledger: Ledger) -> bool:
    """Whether a call to a server that does not answer fails in the time promised."""
    began = time.monotonic()
    with pytest.raises(LedgerUnavailableError):
        ask(ledger, "a")
    return time.monotonic() - began < PROMISED


@both
def test_nobody_listens(ask: Ask) -> None:
    ledger = Ledger(f"redis://user:secret@127.0.0.1:{free_port()}/0", "y")
    began = time.monotonic()
    with pytest.raises(LedgerUnavailableError) as caught:
        ask(ledger, "a")
    assert time.monotonic() - began < PROMISED
    assert "127.0.0.1" in caught.value.message
    assert "secret" not in caught.value.message
    assert "Start it, and repeat" in caught.value.message
    ledger.close()


@both
@pytest.mark.parametrize("connected", [True, False])
def test_frozen_server_is_given_up_in_time(
    server: EmbeddedServer, own_bench: Bench, ask: Ask, *, connected: bool
) -> None:
    ledger = Ledger(server.url, own_bench.keys.yard)  # with the time limit that programs have
    if connected:
        ledger.submit([own_bench.submission("before")])
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        assert any(given_up_in_time(ask, ledger) for _ in range(3)), "a machine that stands still may spoil a try"
    finally:
        os.kill(server.pid, signal.SIGCONT)
        ledger.close()
    assert own_bench.submit("a").outcome in ("created", "exists"), "its fate was unsure, and repeating is safe"


def test_connection_that_died_with_its_server_is_replaced(server: EmbeddedServer, own_bench: Bench) -> None:
    ledger = own_bench.ledger

    async def main() -> None:
        await ledger.asubmit([own_bench.submission("async before")])
        own_bench.submit("before")
        server.kill()
        await asyncio.to_thread(server.exited.result, 60)
        await asyncio.to_thread(server.start)
        (accepted,) = await ledger.asubmit([own_bench.submission("async after")])
        assert accepted.outcome == "created"
        assert own_bench.submit("after").outcome == "created"
        assert (await ledger.asubmit([own_bench.submission("async before")]))[0].outcome == "exists"
        assert own_bench.submit("before").outcome == "exists"
        await ledger.aclose()

    asyncio.run(main())


def test_idle_connections_that_were_killed_are_replaced(bench: Bench) -> None:
    async def main() -> None:
        await asyncio.gather(*(bench.ledger.arun(bench.calls.ping()) for _ in range(5)))
        bench.run(bench.calls.ping())
        bench.client.execute_command("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
        assert bench.submit("a").outcome == "created"
        answers = await asyncio.gather(*(bench.ledger.arun(bench.calls.record("a")) for _ in range(5)))
        assert all(record is not None for record in answers)
        await bench.ledger.aclose()

    asyncio.run(main())


def test_cancelled_call_leaves_its_answer_to_nobody(bench: Bench) -> None:
    """An answer that comes after its asker has gone must not become the next one's answer."""

    async def main() -> None:
        for number in range(80):
            call = asyncio.create_task(bench.ledger.arun(bench.calls.depth([f"q{number}"])))
            for _ in range(number % 20):
                await asyncio.sleep(0)
            ended = call.done()
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled() or ended, "the cancellation was swallowed"
            assert await bench.ledger.arun(bench.calls.depth(["mine"])) == {"mine": 0}
            assert await bench.ledger.arun(bench.calls.ping()) is True
        await bench.ledger.aclose()

    asyncio.run(main())


def test_more_callers_than_connections_wait_their_turn(bench: Bench) -> None:
    async def main() -> None:
        calls = [bench.ledger.asubmit([bench.submission(f"n{number}")]) for number in range(300)]
        assert [answer[0].outcome for answer in await asyncio.gather(*calls)] == ["created"] * 300
        await bench.ledger.aclose()

    asyncio.run(main())


def test_batches_before_the_refusal_are_counted(own_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backyard.ledger.ledger.BATCH", 2)
    bench = own_bench
    bench.client.config_set("maxmemory", bench.client.info("memory")["used_memory"] + 20_000_000)
    try:
        big = [bench.submission(f"n{number}", message=b"x" * 3_000_000) for number in range(20)]
        with pytest.raises(LedgerUnavailableError, match=r"Of 20 tasks the first \d+ were accepted") as caught:
            bench.ledger.submit(big)
    finally:
        bench.client.config_set("maxmemory", 0)
    there = sorted(bench.records())
    assert f"the first {len(there)} were" in caught.value.message
    assert 0 < len(there) < 20
    assert len(there) % 2 == 0, "half a batch was kept"


def test_server_that_may_not_write_is_away(server: EmbeddedServer, own_bench: Bench) -> None:
    own_bench.client.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
    try:
        with pytest.raises(LedgerUnavailableError, match="refuses to write"):
            own_bench.submit("a")
    finally:
        own_bench.client.execute_command("REPLICAOF", "NO", "ONE")
    assert own_bench.submit("a").outcome == "created"
    assert server.pid is not None


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        ReadOnlyError("You can't write against a read only replica."),
        ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        ResponseError("OOM command not allowed when used memory > 'maxmemory'. script: abc, on @user_script:13."),
        # As Redis 6 words what happens in a script:
        ResponseError("Error running script (call to f_abc): @user_script:13: -OOM command not allowed when used"),
        ResponseError("Error running script (call to f_abc): @user_script:13: -MISCONF Redis is configured to save"),
        ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
        RedisConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused."),
        TimeoutError(),
        OSError("broken pipe"),
    ],
)
def test_what_the_driver_raises_becomes_one_error(error: Exception) -> None:
    with pytest.raises(LedgerUnavailableError) as caught, translated("redis://u:p@h:1/0"):
        raise error
    assert caught.value.status == 503
    assert "u:p" not in caught.value.message
    assert caught.value.__cause__ is error
    assert unavailable(error)


@pytest.mark.parametrize(
    "text", ["WRONGTYPE Operation against a key", "ERR unknown command 'OOM'", "Error running script: nil"]
)
def test_mistakes_of_ours_stay_what_they_are(text: str) -> None:
    with pytest.raises(ResponseError), translated("redis://h"):
        raise ResponseError(text)
    assert not unavailable(ResponseError(text))


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://:pa@ss@h:1/0", "redis://h:1/0"),
        ("rediss://user:word@h", "rediss://h"),
        ("unix:///tmp/x.sock", "unix:///tmp/x.sock"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, safe: str) -> None:
    assert shown(url) == safe
