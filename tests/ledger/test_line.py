"""Calls that share round trips: each gets its own answer, and what one of them meets is its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from backyard.core.errors import LedgerUnavailableError, QueueFullError
from backyard.embedded.server import EmbeddedServer
from backyard.ledger.ledger import Ledger
from backyard.ledger.line import BATCH, BYTES, TOGETHER, Line
from backyard.ledger.submission import Accepted
from support.bench import Bench, bench_of


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "data", appendfsync="no") as server:
        yield server


@pytest.fixture
def own_bench(own_server: EmbeddedServer) -> Iterator[Bench]:
    """A bench on a server that counts nobody else's commands."""
    with bench_of(own_server.url) as bench:
        yield bench
        bench.check_nothing_lost()


def run(ledger: Ledger, main: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        try:
            return await main()
        finally:
            await ledger.aclose()

    return asyncio.run(whole())


def submit_all(bench: Bench, *rows: dict[str, Any]) -> list[Any]:
    """Submit at once, each by a caller of its own; returns the outcomes and errors in order."""

    async def main() -> list[Any]:
        calls = (bench.ledger.asubmit([bench.submission(**row)]) for row in rows)
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = run(bench.ledger, main)
    return [one if isinstance(one, BaseException) else one[0] for one in answers]


def calls_of(bench: Bench, command: str) -> int:
    """Return how often the server was sent a command."""
    return int(bench.client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


def test_submits_of_one_turn_share_a_script_call(own_bench: Bench) -> None:
    own_bench.submit("first")
    before = calls_of(own_bench, "evalsha")
    answers = submit_all(own_bench, *({"task_id": f"n{number}"} for number in range(100)))
    assert answers == [Accepted("created", f"n{number}", "PENDING") for number in range(100)]
    assert calls_of(own_bench, "evalsha") - before == 1


def test_what_is_asked_meanwhile_shares_the_next_one(own_bench: Bench) -> None:
    own_bench.submit("first")
    before = calls_of(own_bench, "evalsha")

    async def main() -> None:
        first = own_bench.ledger.line.submit([own_bench.submission("a")])
        await asyncio.sleep(0)  # it is under way
        rest = [asyncio.create_task(own_bench.ledger.asubmit([own_bench.submission()])) for _ in range(10)]
        reads = [asyncio.create_task(own_bench.ledger.arecord("first")) for _ in range(10)]
        assert (await first)[0].outcome == "created"
        assert [(await one)[0].outcome for one in rest] == ["created"] * 10
        assert {(await one).task_id for one in reads} == {"first"}

    run(own_bench.ledger, main)
    assert calls_of(own_bench, "evalsha") - before == 2


def test_one_call_takes_no_more_than_a_batch(own_bench: Bench) -> None:
    own_bench.submit("first")
    before = calls_of(own_bench, "evalsha")

    async def main() -> None:
        parts = [[own_bench.submission() for _ in range(BATCH // 2 + 1)] for _ in range(3)]
        answers = await asyncio.gather(*(own_bench.ledger.asubmit(part) for part in parts))
        assert [[one.task_id for one in part] for part in answers] == [[one.task_id for one in part] for part in parts]
        large = [own_bench.submission(message=b"m" * (BYTES // 2 + 1)) for _ in range(3)]
        assert len(await asyncio.gather(*(own_bench.ledger.asubmit([one]) for one in large))) == 3
        assert len(await own_bench.ledger.asubmit([own_bench.submission() for _ in range(2 * BATCH + 1)])) == 501
        assert await asyncio.gather(*(own_bench.ledger.ask(own_bench.calls.ping()) for _ in range(2 * TOGETHER)))

    run(own_bench.ledger, main)
    assert calls_of(own_bench, "evalsha") - before == 3 + 3 + 3


def test_a_round_trip_takes_several_script_calls_of_no_more_than_a_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[list[int]] = []
    exchange = Line._exchange
    bench.submit()  # the server knows the script from now on

    async def seen(line: Line, parcels: list[Any]) -> list[Any]:
        trips.append([sum(len(ask.submissions) for ask in parcel.asks) for parcel in parcels])
        return await exchange(line, parcels)

    monkeypatch.setattr(Line, "_exchange", seen)

    async def main() -> None:
        line = bench.ledger.line
        first = line.submit([bench.submission()])
        await asyncio.sleep(0)  # it is under way
        parts = [[bench.submission() for _ in range(size)] for size in (1, BATCH, BATCH - 1, 1, 2, BATCH, BATCH, 1)]
        answers = await asyncio.gather(*(line.submit(part) for part in parts))
        assert [[one.task_id for one in part] for part in answers] == [[one.task_id for one in part] for part in parts]
        await first

    run(bench.ledger, main)
    assert trips == [[1], [1, BATCH, BATCH, 2, BATCH], [BATCH, 1]]


def test_a_full_queue_refuses_those_alone_that_go_into_it(bench: Bench) -> None:
    bench.submit(queue="small")
    answers = submit_all(
        bench, {"task_id": "a"}, {"task_id": "b", "queue": "small", "most": 1},
        {"task_id": "c", "queue": "roomy", "most": 9}, {"task_id": "d", "queue": "tight", "most": 1},
        {"task_id": "e", "queue": "tight", "most": 1},
    )  # fmt: skip
    assert [one.outcome for one in answers if isinstance(one, Accepted)] == ["created"] * 3
    assert [isinstance(one, QueueFullError) for one in answers] == [False, True, False, False, True]
    assert "small" in str(answers[1])
    assert {"a", "c", "d"} <= bench.records().keys()
    assert not {"b", "e"} & bench.records().keys()


def test_what_the_server_cannot_do_for_one_it_does_for_the_others(bench: Bench) -> None:
    bench.client.set(bench.keys.queue("broken", "normal"), "no stream")
    before, broken, after = submit_all(bench, {"task_id": "a"}, {"task_id": "b", "queue": "broken"}, {"task_id": "c"})
    assert isinstance(broken, ResponseError)
    # The first one may have been accepted beside the broken one, before it came to that.
    assert (before.task_id, after.task_id) == ("a", "c")
    assert sorted(ready for ready in bench.entries()[0].values()) == ["a", "c"]
    bench.client.delete(bench.keys.queue("broken", "normal"), bench.keys.task("b"))
    bench.client.zrem(f"{bench.keys.prefix}tasks", "b")


def test_what_cannot_be_sent_is_its_senders_alone(bench: Bench) -> None:
    first, wrong, odd, last = submit_all(
        bench, {"task_id": "a"}, {"task_id": "b", "fields": {"tags": "\ud800"}},
        {"task_id": "c", "fields": {"x": None}}, {"task_id": "d"},
    )  # fmt: skip
    assert [one.outcome for one in (first, last)] == ["created"] * 2
    assert isinstance(wrong, UnicodeEncodeError)
    assert isinstance(odd, TypeError)
    assert bench.records().keys() == {"a", "d"}


def test_the_same_key_at_once_makes_one_task(bench: Bench) -> None:
    key = {"once": "k", "fingerprint": "f", "once_lifetime": 60}
    answers = submit_all(bench, *({"task_id": f"n{number}", **key} for number in range(5)), {**key, "fingerprint": "g"})
    assert [one.outcome for one in answers] == ["created", *["exists"] * 4, "conflict"]
    assert {one.task_id for one in answers} == {"n0"}


def test_a_server_that_knows_no_script_is_given_the_text(bench: Bench) -> None:
    for _ in range(2):
        bench.client.script_flush()
        answers = submit_all(bench, {}, {}, {})
        assert [one.outcome for one in answers] == ["created"] * 3


def test_a_server_that_refuses_refuses_all_of_a_group(own_bench: Bench) -> None:
    own_bench.submit("first")
    before = calls_of(own_bench, "evalsha")
    own_bench.client.config_set("maxmemory", 1)
    try:
        answers = submit_all(own_bench, {}, {}, {})
    finally:
        own_bench.client.config_set("maxmemory", 0)
    assert calls_of(own_bench, "evalsha") - before == 1, "it has enough to do"
    assert [type(one) for one in answers] == [LedgerUnavailableError] * 3
    assert own_bench.records().keys() == {"first"}


def test_whoever_has_gone_sends_nothing_and_holds_nobody_up(bench: Bench) -> None:
    async def main() -> None:
        calls = [asyncio.create_task(bench.ledger.asubmit([bench.submission(f"n{number}")])) for number in range(4)]
        await asyncio.sleep(0)  # all wait for the round trip that comes next
        calls[0].cancel()
        calls[2].cancel()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False, True, False]
        # Who goes while it is under way may have made a task; the others are answered all the same.
        calls = [asyncio.create_task(bench.ledger.asubmit([bench.submission(f"m{number}")])) for number in range(4)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        calls[1].cancel()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in done] == [False, True, False, False]
        assert [one[0].task_id for one in done if isinstance(one, list)] == ["m0", "m2", "m3"]

    run(bench.ledger, main)
    assert {"n1", "n3"} <= bench.records().keys()
    assert not {"n0", "n2"} & bench.records().keys()


async def insist(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call until there is an answer: half a second is little for a busy machine."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(LedgerUnavailableError):
                return await call()


def test_many_callers_of_a_frozen_server_are_told_in_time(own_server: EmbeddedServer, own_bench: Bench) -> None:
    ledger = Ledger(own_server.url, own_bench.keys.yard, timeout=0.5)

    async def main() -> None:
        await insist(lambda: ledger.asubmit([own_bench.submission("before")]))
        os.kill(own_server.pid or 0, signal.SIGSTOP)
        try:
            async with asyncio.timeout(30):
                for _ in range(2):
                    calls: list[asyncio.Task[Any]] = []
                    calls += [asyncio.create_task(ledger.asubmit([own_bench.submission()])) for _ in range(20)]
                    await asyncio.sleep(0.1)  # the first ones are under way
                    calls += [asyncio.create_task(ledger.arecord("before")) for _ in range(20)]
                    answers = await asyncio.gather(*calls, return_exceptions=True)
                    assert {type(one) for one in answers} == {LedgerUnavailableError}
        finally:
            os.kill(own_server.pid or 0, signal.SIGCONT)
        assert (await insist(lambda: ledger.arecord("before"))).task_id == "before"

    run(ledger, main)


def test_a_loop_that_was_held_up_for_longer_than_that_finds_its_answer(
    own_server: EmbeddedServer, own_bench: Bench
) -> None:
    ledger = Ledger(own_server.url, own_bench.keys.yard, timeout=2)
    pid = own_server.pid or 0

    async def main() -> None:
        await insist(lambda: ledger.asubmit([own_bench.submission("before")]))
        os.kill(pid, signal.SIGSTOP)
        asked = asyncio.create_task(ledger.arecord("before"))
        await asyncio.sleep(0.1)  # it is under way
        os.kill(pid, signal.SIGCONT)
        time.sleep(2.5)  # noqa: ASYNC251 - as a program does that knows no better
        assert (await asked).task_id == "before"

    run(ledger, main)


def test_callers_that_wait_when_the_line_is_closed_are_told(bench: Bench) -> None:
    async def main() -> None:
        await bench.ledger.asubmit([bench.submission("a")])
        line = bench.ledger.line
        waiting = [asyncio.create_task(bench.ledger.asubmit([bench.submission()])) for _ in range(3)]
        await asyncio.sleep(0)
        await line.close()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(one) for one in answers} == {LedgerUnavailableError}
        with pytest.raises(LedgerUnavailableError):
            await bench.ledger.asubmit([bench.submission()])

    run(bench.ledger, main)


def test_a_line_that_was_closed_is_opened_anew(bench: Bench) -> None:
    async def main() -> None:
        for _ in range(2):
            assert (await bench.ledger.asubmit([bench.submission()]))[0].outcome == "created"
            await bench.ledger.aclose()

    run(bench.ledger, main)


def test_the_line_logs_in_and_chooses_its_database(own_server: EmbeddedServer) -> None:
    with bench_of(own_server.url) as admin:
        admin.client.acl_setuser(
            "guest", enabled=True, passwords=["+secret"], keys="*", commands=["+@all"], channels="*"
        )
    url = own_server.url.replace("redis://", "redis://guest:secret@").rpartition("/")[0] + "/3"
    with bench_of(url) as bench:
        assert [one.outcome for one in submit_all(bench, {"task_id": "a"}, {"task_id": "b"})] == ["created"] * 2
        assert bench.records().keys() == {"a", "b"}
        bench.ledger.url = bench.ledger.url.replace("secret", "wrong")
        (answer,) = submit_all(Bench(Ledger(bench.ledger.url, "y")), {})
        assert isinstance(answer, LedgerUnavailableError)
        assert "wrong" not in answer.message


def test_the_answer_to_a_new_task_says_when(bench: Bench) -> None:
    now, later = submit_all(bench, {"task_id": "a"}, {"task_id": "b", "due": "+60000"})
    assert (now.created, now.due) == (bench.raw("a")["created"], "")
    assert (later.created, later.due) == (bench.raw("b")["created"], bench.raw("b")["due"])
    (again,) = submit_all(bench, {"task_id": "a"})
    assert (again.outcome, again.created, again.due) == ("exists", "", "")
