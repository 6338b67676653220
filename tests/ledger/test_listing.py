"""The list of tasks, the sweep of its index, and the replay of events."""

from __future__ import annotations

import asyncio
import random

import pytest

from backyard.core.news import event_order
from backyard.core.states import State, Verb
from backyard.ledger import task_calls as calls_module
from backyard.ledger.ledger import Ledger
from support.bench import Bench

Cursor = tuple[str, str] | None


async def pages(ledger: Ledger, limit: int, states: list[State] | None = None, name: str = "") -> list[list[str]]:
    found: list[list[str]] = []
    cursor: Cursor = None
    while True:
        records, cursor = await ledger.records(states or [], name, limit, cursor)
        found.append([record.task_id for record in records])
        if cursor is None:
            await ledger.aclose()
            return found


def in_pages(bench: Bench, limit: int, states: list[State] | None = None, name: str = "") -> list[list[str]]:
    return asyncio.run(pages(bench.ledger, limit, states, name))


def set_times(bench: Bench, times: dict[str, int]) -> None:
    bench.client.zadd(f"{bench.keys.prefix}tasks", times)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_newest_first_in_pages_over_equal_times(bench: Bench, limit: int) -> None:
    times = {f"t{number:02}": 1_000 + number // 5 for number in range(23)}
    bench.ledger.submit([bench.submission(task_id) for task_id in times])
    set_times(bench, times)
    wanted = sorted(times, key=lambda task_id: (times[task_id], task_id), reverse=True)
    found = in_pages(bench, limit)
    assert [one for page in found for one in page] == wanted
    assert all(len(page) == limit for page in found[:-1])


def test_no_duplicates_or_gaps_while_new_tasks_arrive(bench: Bench) -> None:
    old = [f"old{number:02}" for number in range(30)]
    bench.ledger.submit([bench.submission(task_id) for task_id in old])

    async def walk() -> list[str]:
        found: list[str] = []
        records, cursor = await bench.ledger.records([], "", 4, None)
        while True:
            found += [record.task_id for record in records]
            if cursor is None:
                await bench.ledger.aclose()
                return found
            bench.ledger.submit([bench.submission(f"new{len(found)}-{number}") for number in range(3)])
            records, cursor = await bench.ledger.records([], "", 4, cursor)

    found = asyncio.run(walk())
    assert sorted(found) == sorted(old)


def test_filters_by_state_and_name(bench: Bench) -> None:
    for number in range(12):
        bench.submit(f"a{number:02}", name="even" if number % 2 == 0 else "odd")
    bench.cancel("a00", "a01", "a04")
    done, _ = bench.running("z", name="odd", queue="r")
    bench.move(Verb.SUCCEED, done, 1)

    def flat(states: list[State], name: str) -> list[str]:
        return [one for page in in_pages(bench, 2, states, name) for one in page]

    assert flat([State.REVOKED], "") == ["a04", "a01", "a00"]
    assert flat([State.REVOKED, State.SUCCESS], "odd") == ["z", "a01"]
    assert flat([], "even") == ["a10", "a08", "a06", "a04", "a02", "a00"]
    assert flat([State.PENDING], "nobody") == []
    assert flat([State.STARTED], "") == []


def test_long_walk_goes_in_bounded_steps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "LIST_STEPS", 7)
    bench.ledger.submit([bench.submission(f"t{number:03}", name="common") for number in range(40)])
    bench.submit("aaa", name="rare")
    set_times(bench, {"aaa": 1})
    cursor, found = bench.run(bench.calls.listing([], "rare", 5, None))
    assert (found, cursor is not None) == ([], True), "one step sees seven tasks"
    assert in_pages(bench, 5, name="rare") == [["aaa"]]
    assert sum(len(page) for page in in_pages(bench, 5, name="common")) == 40


def test_records_that_ended_their_life_are_left_out(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.submit(name)
    for name in ("a", "c"):
        bench.cancel(name)
        bench.run(bench.calls.forget(name))
    assert in_pages(bench, 1) == [["b"], []] or in_pages(bench, 1) == [["b"]]


def test_empty_list(bench: Bench) -> None:
    assert in_pages(bench, 5) == [[]]


# -- sweep ------------------------------------------------------------------------------------------------------------


def test_sweep_forgets_rows_without_record(bench: Bench) -> None:
    names = [f"t{number}" for number in range(10)]
    for name in names:
        bench.submit(name)
    set_times(bench, {name: number for number, name in enumerate(names)})
    for name in names[:4] + names[8:]:
        bench.cancel(name)
        bench.run(bench.calls.forget(name))
    assert bench.run(bench.calls.sweep(0, 5)) == (5, 4)
    assert bench.run(bench.calls.sweep(1, 5)) == (5, 2)
    assert bench.run(bench.calls.sweep(4, 5)) == (0, 0)
    assert bench.client.zrange(f"{bench.keys.prefix}tasks", 0, -1) == names[4:8]


# -- events -----------------------------------------------------------------------------------------------------------


def replay(bench: Bench, task_id: str, after: str) -> list[str]:
    found: list[str] = []
    while after:
        after, news = bench.run(bench.calls.replay(task_id, after))
        found += [one.event_id for one in news]
    return found


def test_replay_gives_one_tasks_news_after_an_id(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "REPLAY_STEPS", 5)
    ids = ["a", "b", "c"]
    for task_id in ids:
        bench.running(task_id, queue=task_id)
    choose = random.Random(1)  # noqa: S311 - any order will do
    for number in range(40):
        bench.run(bench.calls.note(choose.choice(ids), 1, "log", str(number)))
    for task_id in ids:
        told = [one.event_id for one in bench.events(task_id)]
        assert replay(bench, task_id, "0-0") == told
        assert replay(bench, task_id, told[3]) == told[4:]
        assert replay(bench, task_id, told[-1]) == []
    assert replay(bench, "nobody", "0-0") == []


def test_stream_of_events_is_capped(server_url: str) -> None:
    from support.bench import bench_of  # noqa: PLC0415 - one test needs a yard with another setting

    with bench_of(server_url, events_kept=1_000) as bench:
        task_id, _ = bench.running()
        for number in range(1_500):
            bench.run(bench.calls.note(task_id, 1, "log", str(number)))
        kept = bench.client.xlen(bench.keys.events)
        assert 1_000 <= kept < 1_200, "about as many as the setting says"
        assert bench.events()[-1].data == 1_499
        assert bench.events()[0].data > 250


@pytest.mark.parametrize(("text", "order"), [("5-3", (5, 3)), ("5", (5, 0)), ("1763-0", (1763, 0))])
def test_event_ids_are_pairs_of_numbers(text: str, order: tuple[int, int]) -> None:
    assert event_order(text) == order


@pytest.mark.parametrize(
    "text", ["", "-", "a-1", "5-", "-5", "5--3", "5-x", "1e3", f"{2**64}-0", f"1-{2**63}", "5-3-1"]
)
def test_what_is_no_event_id_is_refused(text: str) -> None:
    if text == "5-":
        assert event_order(text) == (5, 0)
        return
    with pytest.raises(ValueError):  # noqa: PT011 - int() has its own words
        event_order(text)
