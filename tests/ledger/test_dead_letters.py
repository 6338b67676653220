from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backyard.core.states import State, Verb
from backyard.embedded.server import EmbeddedServer
from support.bench import Bench, bench_of


def set_aside(bench: Bench, task_id: str = "", **options: object) -> tuple[str, str]:
    """Submit a task and set its entry aside; returns the task's id, and its letter's."""
    task_id = bench.submit(task_id, **options).task_id
    (taken,) = bench.take()
    assert bench.run(bench.calls.set_aside(*taken.place, "nobody can read it")) == "kept"
    return task_id, bench.run(bench.calls.dead_letters(1))[0].letter_id


def requeue(bench: Bench, letter_id: str, name: str = "", payload: bytes = b"") -> tuple[str, str]:
    answer: tuple[str, str] = bench.run(bench.calls.requeue(letter_id, 60, name, payload))
    return answer


def letters(bench: Bench) -> list[str]:
    return [one.letter_id for one in bench.run(bench.calls.dead_letters(100))]


def test_a_dead_letter_says_where_it_was_and_why(bench: Bench) -> None:
    message = b'{"headers": {"task": "add"}}'
    task_id, letter_id = set_aside(bench, lane="high", message=message)
    (one,) = bench.run(bench.calls.dead_letters(10))
    assert (one.letter_id, one.queue, one.priority, one.task_id) == (letter_id, "q", "high", task_id)
    assert (one.reason, one.state, one.name, one.size) == ("nobody can read it", State.FAILURE, "add", len(message))
    letter = bench.run(bench.calls.dead_letter(letter_id))
    assert (letter.message, letter.text("t"), letter.at) == (message, task_id, one.date_created)
    assert bench.run(bench.calls.dead_letter("1-1")) is None


def test_a_task_that_is_put_back_waits_again_as_it_was(bench: Bench) -> None:
    task_id, letter_id = set_aside(bench, lane="low", fields={"input": '{"a":1}', "tags": '["vip"]'})
    assert bench.record(task_id).failure is not None
    assert requeue(bench, letter_id) == ("requeued", "q")
    assert letters(bench) == []
    record = bench.record(task_id)
    assert (record.state, record.failure, record.text("lane"), record.text("name")) == (State.PENDING, None, "low", "f")
    assert (record.text("input"), record.json("tags")) == ('{"a":1}', ["vip"])
    (taken,) = bench.take()
    assert (taken.lane, taken.message) == ("low", f"m:{task_id}")
    started = bench.start(task_id, taken.tag)
    assert started.attempt == 1
    bench.move(Verb.SUCCEED, task_id, 1)
    bench.run(bench.calls.acknowledge([taken.place]))
    assert bench.states(task_id) == ["PENDING", "FAILURE", "PENDING", "STARTED", "SUCCESS"]
    # The history hears of a new life, with all that belongs to it.
    born = [one for one in bench.events(task_id) if one.state == "PENDING"][-1]
    assert (born.fields["input"], born.fields["name"]) == ('{"a":1}', "f")


def test_a_letter_is_put_back_once_whoever_asks(bench: Bench) -> None:
    """All ask at once; a letter that is neither doubled nor lost is in its queue once."""
    task_id, letter_id = set_aside(bench)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: requeue(bench, letter_id)[0], range(16)))
    assert sorted(answers) == ["gone"] * 15 + ["requeued"]
    ready, _ = bench.entries()
    assert list(ready.values()) == [task_id]
    assert bench.count("requeued") == 1
    bench.cancel(task_id)


def test_what_belongs_to_no_task_is_put_back_as_it_was(bench: Bench) -> None:
    bench.run(bench.calls.put("q", "high", b"any message"))
    (taken,) = bench.take()
    bench.run(bench.calls.set_aside(*taken.place, "no"))
    (letter_id,) = letters(bench)
    assert requeue(bench, letter_id) == ("requeued", "q")
    (taken,) = bench.take()
    assert (taken.lane, taken.message, letters(bench)) == ("high", "any message", [])
    bench.run(bench.calls.acknowledge([taken.place]))


def test_a_task_that_lives_again_is_not_doubled(bench: Bench) -> None:
    task_id, letter_id = set_aside(bench)
    bench.submit(task_id, again=True)
    assert requeue(bench, letter_id) == ("lives", "PENDING")
    (taken,) = bench.take()
    bench.start(task_id, taken.tag)
    assert requeue(bench, letter_id) == ("lives", "STARTED")
    bench.move(Verb.SUCCEED, task_id, 1)
    bench.run(bench.calls.acknowledge([taken.place]))
    assert requeue(bench, letter_id) == ("lives", "SUCCESS")
    assert letters(bench) == [letter_id]
    assert bench.entries() == ({}, {})


def test_a_task_whose_record_is_gone_has_one_again(bench: Bench) -> None:
    """Without a record no worker would start it, and it would be lost."""
    task_id, letter_id = set_aside(bench)
    bench.run(bench.calls.forget(task_id))
    assert requeue(bench, letter_id, "add", b'{"a":1}') == ("requeued", "q")
    (taken,) = bench.take()
    assert bench.start(task_id, taken.tag).attempt == 1
    record = bench.record(task_id)
    assert (record.text("name"), record.text("input"), record.text("lifetime")) == ("add", '{"a":1}', "60")
    bench.move(Verb.SUCCEED, task_id, 1)
    bench.run(bench.calls.acknowledge([taken.place]))


def test_an_entry_without_a_message_stays(bench: Bench) -> None:
    letter_id = bench.client.xadd(f"{bench.keys.prefix}dead", {"queue": "q", "reason": "x", "something": "else"})
    assert requeue(bench, letter_id) == ("empty", "")
    assert letters(bench) == [letter_id]
    assert bench.run(bench.calls.dead_letters(1))[0].task_id is None


def test_letters_of_a_version_that_noted_no_lane_are_put_back(bench: Bench) -> None:
    letter_id = bench.client.xadd(f"{bench.keys.prefix}dead", {"queue": "q", "reason": "x", "t": "", "m": "old"})
    assert requeue(bench, letter_id) == ("requeued", "q")
    (taken,) = bench.take()
    assert (taken.lane, taken.message) == ("normal", "old")
    bench.run(bench.calls.acknowledge([taken.place]))


def test_lists_go_on_by_place_and_deletes_go_no_further_than_seen(bench: Bench) -> None:
    made = [set_aside(bench)[1] for _ in range(5)]
    newest_first = made[::-1]
    assert letters(bench) == newest_first
    assert [one.letter_id for one in bench.run(bench.calls.dead_letters(2, newest_first[1]))] == newest_first[2:4]
    assert bench.run(bench.calls.delete_dead([made[0], "1-1"])) == 1
    assert bench.run(bench.calls.delete_dead_until(made[3])) == 3
    assert letters(bench) == [made[4]]


def test_a_server_without_memory_puts_back_what_it_has_already(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "data", appendfsync="no") as server, bench_of(server.url) as bench:
        task_id, _ = set_aside(bench)
        bench.run(bench.calls.put("q", "normal", b"any message"))
        (taken,) = bench.take()
        bench.run(bench.calls.set_aside(*taken.place, "no"))
        bench.client.config_set("maxmemory", 1)
        assert [requeue(bench, one) for one in letters(bench)] == [("requeued", "q")] * 2
        bench.client.config_set("maxmemory", 0)
        assert (letters(bench), bench.state(task_id)) == ([], State.PENDING)
        assert sorted(bench.entries()[0].values()) == ["", task_id]
        bench.check_nothing_lost()


def test_the_answer_may_be_lost_on_the_way(bench: Bench) -> None:
    """Who repeats it is told that it is gone, and finds the task waiting once."""
    task_id, letter_id = set_aside(bench)
    requeue(bench, letter_id)
    assert requeue(bench, letter_id) == ("gone", "")
    assert list(bench.entries()[0].values()) == [task_id]
    bench.cancel(task_id)
