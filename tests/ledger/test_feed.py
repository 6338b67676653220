"""The live feed: every event once and in order, for each watcher."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from backyard.core.errors import UnknownTaskError
from backyard.core.states import Verb
from backyard.ledger import topic as topic_module
from backyard.ledger.call import Call
from backyard.ledger.feed import Feed
from support.bench import Bench
from support.watching import PATIENCE, Watching, channels, drive, say, subscribers, told, until

# -- plain ------------------------------------------------------------------------------------------------------------


def test_watcher_sees_all_from_the_first_event_to_the_last(bench: Bench) -> None:
    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        bench.running("other", queue="r")
        watching = Watching(feed, task_id)
        await watching.has(2)
        say(bench, task_id, 20)
        bench.move(Verb.SUCCEED, task_id, 1)
        assert await watching.end() == told(bench, task_id)
        assert [one.event for one in watching.seen] == ["state"] * 2 + ["progress"] * 20 + ["state"]
        assert watching.seen[-1].final

    drive(bench, body)


def test_after_resumes_without_gap_or_repetition(bench: Bench) -> None:
    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        say(bench, task_id, 5)
        ids = told(bench, task_id)
        watchers = [Watching(feed, task_id, after) for after in [*ids, "0-0", "1"]]
        for number, watching in enumerate(watchers[: len(ids)], 1):
            await watching.has(len(ids) - number)
        say(bench, task_id, 5)
        bench.move(Verb.FAIL, task_id, 1)
        every = told(bench, task_id)
        for number, watching in enumerate(watchers[: len(ids)], 1):
            assert await watching.end() == every[number:]
        for watching in watchers[len(ids) :]:
            assert await watching.end() == every

    drive(bench, body)


def test_watcher_of_a_final_task_gets_its_news_and_ends(bench: Bench) -> None:
    task_id, _ = bench.running()
    bench.move(Verb.SUCCEED, task_id, 1)
    ids = told(bench, task_id)

    async def body(feed: Feed) -> None:
        assert await Watching(feed, task_id).end() == ids
        assert await Watching(feed, task_id, ids[0]).end() == ids[1:]
        assert await Watching(feed, task_id, ids[-1]).end() == []
        assert await Watching(feed, task_id, f"{2**62}-0").end() == []

    drive(bench, body)


@pytest.mark.parametrize("moment", ["replay", None])
def test_task_that_ends_right_after_a_look_is_told_to_its_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, moment: str | None
) -> None:
    """The task ends when a watcher has just read the stream, or who waits for the outcome the record."""
    task_id, _ = bench.running()
    ask = bench.ledger.ask
    ended: list[bool] = []
    feeds: list[Feed] = []

    async def ask_and_let_it_end(call: Call[Any]) -> Any:
        answer = await ask(call)
        if not ended and (call.script.name if call.script else None) == moment:
            (topic,) = feeds[0]._topics.values()
            ended.append(bench.move(Verb.SUCCEED, task_id, 1, fields={"result": "7"}).applied)
            await until(lambda: topic.end)
        return answer

    monkeypatch.setattr(bench.ledger, "ask", ask_and_let_it_end)

    async def body(feed: Feed) -> None:
        feeds.append(feed)
        if moment:
            assert await Watching(feed, task_id).end() == told(bench, task_id)
        else:
            async with asyncio.timeout(PATIENCE):
                assert (await feed.outcome(task_id)).fields["result"] == b"7"

    drive(bench, body)
    assert ended == [True]


def test_watcher_ends_where_the_final_event_is_no_longer_kept(bench: Bench) -> None:
    task_id, _ = bench.running()
    bench.move(Verb.SUCCEED, task_id, 1)
    bench.client.xtrim(bench.keys.events, maxlen=0)

    async def body(feed: Feed) -> None:
        assert await Watching(feed, task_id).end() == []

    drive(bench, body)


def test_id_from_the_future_does_not_watch_for_ever(bench: Bench) -> None:
    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        watching = Watching(feed, task_id, f"{2**62}-0")
        await until(lambda: channels(bench))
        bench.move(Verb.SUCCEED, task_id, 1)
        assert await watching.end() == []

    drive(bench, body)


def test_unknown_task_ends_at_once(bench: Bench) -> None:
    async def body(feed: Feed) -> None:
        assert await Watching(feed, "nobody").end() == []
        assert await Watching(feed, "nobody", "5-5").end() == []
        with pytest.raises(UnknownTaskError):
            await feed.outcome("nobody")
        with pytest.raises(ValueError, match="no event id"):
            await anext(feed.watch("nobody", f"{2**64}-0"))

    drive(bench, body)


def test_task_that_comes_while_it_is_asked_for_is_told_whole(bench: Bench) -> None:
    """Whoever watches an id before its task exists is sent away, and a watcher that comes with the task misses none."""

    async def body(feed: Feed) -> None:
        early = [Watching(feed, "a") for _ in range(3)]
        await asyncio.sleep(0)
        bench.submit("a")
        late = Watching(feed, "a")
        await late.has(1)
        bench.cancel("a")
        every = told(bench, "a")
        assert await late.end() == every
        for watching in early:
            assert await watching.end() in ([], every)

    drive(bench, body)


def test_task_run_anew_is_told_from_its_new_beginning(bench: Bench) -> None:
    task_id, taken = bench.running()
    bench.move(Verb.FAIL, task_id, 1)
    bench.run(bench.calls.acknowledge([taken.place]))
    old = told(bench, task_id)
    bench.client.hset(bench.keys.task(task_id), "created", 1)
    while True:  # the clock's next millisecond, so that both runs do not share one
        seconds, microseconds = bench.client.time()
        if seconds * 1000 + microseconds // 1000 > int(old[-1].split("-")[0]) + 1:
            break
    bench.submit(task_id, again=True)

    async def body(feed: Feed) -> None:
        watching = Watching(feed, task_id)
        await watching.has(1)
        bench.cancel(task_id)
        assert await watching.end() == told(bench, task_id)[len(old) :]

    drive(bench, body)


# -- many -------------------------------------------------------------------------------------------------------------


def test_two_watchers_of_one_task_share_a_subscription(bench: Bench) -> None:
    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        first, second = Watching(feed, task_id), Watching(feed, task_id)
        await first.has(2)
        await second.has(2)
        await until(lambda: bench.client.pubsub_numsub(bench.keys.task(task_id))[0][1] == 1)
        first.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first.task
        say(bench, task_id, 3)
        third = Watching(feed, task_id)
        await third.has(5)
        bench.move(Verb.SUCCEED, task_id, 1)
        assert await second.end() == await third.end() == told(bench, task_id)
        assert first.ids == told(bench, task_id)[:2]
        await until(lambda: not channels(bench))

    drive(bench, body)


def test_many_tasks_on_one_connection(bench: Bench) -> None:
    async def body(feed: Feed) -> None:
        ids = [bench.running(queue=f"q{number}")[0] for number in range(40)]
        watchers = {task_id: Watching(feed, task_id) for task_id in ids}
        for number in range(5):
            for task_id in ids:
                say(bench, task_id, 1)
            if number == 2:
                await asyncio.gather(*(watching.has(3) for watching in watchers.values()))
                assert len(subscribers(bench)) == 1
        for task_id in ids:
            bench.move(Verb.SUCCEED, task_id, 1)
        for task_id, watching in watchers.items():
            assert await watching.end() == told(bench, task_id)

    drive(bench, body)


def test_slow_watcher_catches_up_from_the_stream(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_module, "BACKLOG", 5)

    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        gate = asyncio.Event()
        slow, quick = Watching(feed, task_id, gate=gate), Watching(feed, task_id)
        await quick.has(2)
        await slow.has(1)
        for number in range(10):
            say(bench, task_id, 5)
            await quick.has(2 + 5 * (number + 1))
        assert len(slow.seen) == 1
        gate.set()
        await slow.has(52)
        bench.move(Verb.SUCCEED, task_id, 1)
        assert await slow.end() == await quick.end() == told(bench, task_id)

    drive(bench, body)


def test_the_past_is_read_once_for_all_who_come_together(bench: Bench) -> None:
    """A thousand who come back at once, to one task or to many, must not have the stream read a thousand times."""

    async def body(feed: Feed) -> None:
        ids = [bench.running(queue=f"q{number}")[0] for number in range(30)]
        for task_id in ids:
            say(bench, task_id, 2)
        asked: list[str] = []
        ask = bench.ledger.ask

        async def note(call: Call[Any]) -> Any:
            asked.append(call.script.name if call.script else "record")
            return await ask(call)

        bench.ledger.ask = note  # type: ignore[method-assign]  # counts, and asks
        watchers = [Watching(feed, task_id, after) for task_id in ids for after in (None, told(bench, task_id)[1])]
        for number, watching in enumerate(watchers):
            await watching.has(2 if number % 2 else 4)
        assert len(asked) <= 3
        for task_id in ids:
            bench.move(Verb.SUCCEED, task_id, 1)
        for number, watching in enumerate(watchers):
            every = told(bench, ids[number // 2])
            assert await watching.end() == (every[2:] if number % 2 else every)

    drive(bench, body)


def test_two_hundred_watchers_see_all_and_a_slow_one_holds_up_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_module, "BACKLOG", 20)

    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        gate = asyncio.Event()
        slow = [Watching(feed, task_id, gate=gate) for _ in range(3)]
        quick = [Watching(feed, task_id) for _ in range(200)]
        await slow[0].has(1)
        for number in range(10):
            say(bench, task_id, 10)
            await asyncio.gather(*(watching.has(2 + 10 * (number + 1)) for watching in quick))
        assert [len(watching.seen) for watching in slow] == [1] * 3
        (topic,) = feed._topics.values()
        assert len(topic._lines) <= 20, "what nobody may need is kept"
        gate.set()
        bench.move(Verb.SUCCEED, task_id, 1)
        every = told(bench, task_id)
        assert len(every) == 103
        for watching in [*quick, *slow]:
            assert await watching.end() == every

    drive(bench, body)


def test_large_news_is_not_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_module, "KEPT_BYTES", 5_000)
    monkeypatch.setattr(topic_module, "PORTION", 2_500)

    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        gate = asyncio.Event()
        slow, quick = Watching(feed, task_id, gate=gate), Watching(feed, task_id)
        for number in range(20):
            bench.run(bench.calls.note(task_id, 1, "log", '"' + "x" * 1_000 + '"'))
            await quick.has(number + 3)
        (topic,) = feed._topics.values()
        assert sum(len(one.text) for one in topic._lines) <= 5_000
        gate.set()
        await slow.has(22)
        bench.move(Verb.SUCCEED, task_id, 1)
        assert await slow.end() == await quick.end() == told(bench, task_id)

    drive(bench, body)


# -- wait -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [Verb.SUCCEED, Verb.FAIL, Verb.STOP])
def test_wait_returns_when_final(bench: Bench, verb: Verb) -> None:
    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        waits = [asyncio.create_task(feed.outcome(task_id)) for _ in range(3)]
        await until(lambda: channels(bench))
        say(bench, task_id, 3)
        _, pending = await asyncio.wait(waits, timeout=0.05)
        assert len(pending) == 3
        bench.move(verb, task_id, 1)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*waits)
            await feed.outcome(task_id)

    drive(bench, body)


def test_cancelled_wait_leaves_nothing(bench: Bench) -> None:
    async def body(feed: Feed) -> None:
        bench.submit("a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await feed.outcome("a")
        await until(lambda: not channels(bench))

    drive(bench, body)


def test_small_outcome_comes_with_the_news(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    answered: list[Call[Any]] = []
    ask = bench.ledger.ask

    async def noted(call: Call[Any]) -> Any:
        answer = await ask(call)
        answered.append(call)
        return answer

    monkeypatch.setattr(bench.ledger, "ask", noted)

    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        waiting = asyncio.create_task(feed.outcome(task_id))
        await until(lambda: answered)  # its look at the record, before it waits
        bench.move(Verb.SUCCEED, task_id, 1, fields={"result": "7"})
        async with asyncio.timeout(PATIENCE):
            assert (await waiting).fields["result"] == b"7"
        assert len(answered) == 1, "the news has said all"

    drive(bench, body)


@pytest.mark.parametrize("result", ['"' + "long" * 2_000 + '"', b"\xff\xfe no text", "7"])
def test_outcome_has_the_result(bench: Bench, result: str | bytes) -> None:
    async def body(feed: Feed) -> None:
        task_id, _ = bench.running()
        waiting = asyncio.create_task(feed.outcome(task_id))
        watching = Watching(feed, task_id)
        await watching.has(2)
        bench.move(Verb.SUCCEED, task_id, 1, fields={"result": result})
        async with asyncio.timeout(PATIENCE):
            record = await waiting
        assert record.fields["result"] == (result.encode() if isinstance(result, str) else result)
        assert await watching.end() == told(bench, task_id)

    drive(bench, body)
