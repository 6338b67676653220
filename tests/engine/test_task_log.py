"""What tasks log, in whatever way, is kept with them: line by line, live, in bounds, and none of it lost at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backyard.core.log_line import CUT, LONGEST
from backyard.core.states import State
from backyard.ledger.task_log import BATCH
from support.chatty import TARGET, define, define_celery, yard_of
from support.clean import wait_final, wait_until
from support.processes import Process, start_worker
from support.trials import starts

Start = Callable[..., Process]
POOLS = ["--pool=prefork", "--pool=threads", "--pool=solo"]


@pytest.fixture
def yard(environment: dict[str, str]) -> Iterator[SimpleNamespace]:
    made = yard_of(environment)
    define_celery(made)
    yield SimpleNamespace(ledger=made.ledger, tasks=define(made), celery=made.celery)
    made.ledger.close()


@pytest.fixture
def work(environment: dict[str, str]) -> Iterator[Start]:
    started: list[Process] = []

    def start(*options: str, ready: str = " ready.", **more: str) -> Process:
        options = options or ("--concurrency=1",)
        process = start_worker({**environment, **more}, *options, target=TARGET, ready=ready)
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def lines_of(yard: SimpleNamespace, task_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yard.ledger.run(yard.ledger.calls.log(task_id))
    return found


def messages_of(yard: SimpleNamespace, task_id: str) -> list[str]:
    return [line["message"] for line in lines_of(yard, task_id)]


@pytest.mark.parametrize("pool", POOLS)
def test_all_that_a_task_logs_is_kept_in_order(work: Start, yard: SimpleNamespace, pool: str) -> None:
    work(pool, "--concurrency=1")
    handle = yard.tasks.talk.submit_sync(who="ann")
    assert wait_final(yard.ledger, handle.task_id).state is State.SUCCESS
    lines = lines_of(yard, handle.task_id)
    assert [(line["message"], line["level"], line["logger"]) for line in lines] == [
        ("hello ann", "info", "library.part"),
        ("own line", "warning", "backyard.task"),
        ("from Celery's task logger, ann", "error", "shop.tasks"),
        ("from a thread of ann", "warning", "library.part"),
    ]
    assert lines[0]["order"] == 7
    assert lines[1]["who"] == "ann"
    assert [line["attempt"] for line in lines] == [1] * 4
    times = [line["at"] for line in lines]
    assert times == sorted(times)
    _, told = yard.ledger.run(yard.ledger.calls.replay(handle.task_id, "0-0"))
    assert [one.data for one in told if one.event == "log"] == lines
    assert told[-1].state == "SUCCESS", "the outcome comes after the last line"


def test_of_tasks_side_by_side_each_has_its_own_lines(work: Start, yard: SimpleNamespace, gate: Path) -> None:
    work("--pool=threads", "--concurrency=2")
    handles = {who: yard.tasks.talk_with.submit_sync(who=who, gate=str(gate)) for who in ("ann", "bob")}
    wait_until(lambda: len(starts(gate)) == 2, "both run")
    gate.touch()
    wait_until(lambda: len(starts(f"{gate}.said")) == 2, "both have said what nobody knows the owner of")
    Path(f"{gate}.said").touch()
    for who, handle in handles.items():
        wait_final(yard.ledger, handle.task_id)
        assert messages_of(yard, handle.task_id) == [f"begins: {who}", f"ends: {who}"]


def test_coroutines_and_their_threads_have_their_own_lines(work: Start, yard: SimpleNamespace, gate: Path) -> None:
    work("--pool=threads", "--concurrency=2")
    handles = {who: yard.tasks.talk_async.submit_sync(who=who, gate=str(gate)) for who in ("ann", "bob")}
    wait_until(lambda: len(starts(gate)) == 2, "both run")
    gate.touch()
    for who, handle in handles.items():
        wait_final(yard.ledger, handle.task_id)
        assert messages_of(yard, handle.task_id) == [f"coroutine of {who}", f"thread of {who}"]


def test_a_failure_keeps_its_lines(work: Start, yard: SimpleNamespace) -> None:
    work()
    handle = yard.tasks.fail_aloud.submit_sync()
    assert wait_final(yard.ledger, handle.task_id).state is State.FAILURE
    lines = lines_of(yard, handle.task_id)
    assert [line["attempt"] for line in lines] == [1, 2]
    assert all("Traceback" in line["exception"] for line in lines)
    assert [line["exception"].splitlines()[-1] for line in lines] == [
        f"KeyError: 'missing in attempt {n}'" for n in (1, 2)
    ]


def test_a_plain_celery_task_keeps_its_lines(work: Start, yard: SimpleNamespace) -> None:
    work()
    result = yard.celery.send_task("plain_talk")
    wait_final(yard.ledger, result.id)
    assert messages_of(yard, result.id) == ["plain, try 0", "plain, try 1"]


def test_what_is_hard_to_write_is_written_all_the_same(work: Start, yard: SimpleNamespace, gate: Path) -> None:
    work()
    handle = yard.tasks.odd.submit_sync(gate=str(gate))
    assert wait_final(yard.ledger, handle.task_id).state is State.SUCCESS
    huge, number, unwritable, lone, fields, mapping, warning, last = lines_of(yard, handle.task_id)
    assert len(huge["message"].encode()) == LONGEST
    assert huge["message"].endswith(CUT)
    assert number["message"] == "%d is no number (its arguments cannot be written: TypeError)"
    assert unwritable["message"] == "%s (its arguments cannot be written: RuntimeError)"
    assert lone["message"] == "lone \\udcff surrogate and \0 zero"
    assert (lone["at_"], lone["nan"]) == ("taken", "nan")
    assert lone["big"] == "<int that cannot be written: ValueError>"
    assert fields["thing"] == "<Unwritable that cannot be written: RuntimeError>"
    assert fields["path"] == str(gate)
    assert fields["around"][0] == 1
    assert fields["long"] == CUT
    assert mapping["message"] == "{'a': 'mapping'}"
    assert "and a warning" in warning["message"]
    assert (warning["logger"], warning["level"]) == ("py.warnings", "warning")
    assert last["message"] == "last"


def test_a_flood_is_cut_off_and_said_so(work: Start, yard: SimpleNamespace) -> None:
    work("--concurrency=1", BACKYARD_TASK_LOG_MAX="20000", BACKYARD_LOG_LEVEL="warning")
    handle = yard.tasks.flood.submit_sync(count=20_000)
    record = wait_final(yard.ledger, handle.task_id)
    assert record.state is State.SUCCESS
    *kept, full, end = lines_of(yard, handle.task_id)
    assert [line["message"] for line in kept] == [f"line {number} of many" for number in range(len(kept))]
    assert BATCH < len(kept) < 1_000
    assert "20000 bytes" in full["message"]
    assert end["message"] == f"{20_000 - len(kept)} lines were left out."
    assert {full["level"], end["level"]} == {"warning"}


def test_lines_are_live_and_outlast_their_process(work: Start, yard: SimpleNamespace, gate: Path) -> None:
    work()
    handle = yard.tasks.speak_and_die.submit_sync(gate=str(gate))
    wait_until(lambda: messages_of(yard, handle.task_id), "the line is there while the task runs")
    assert not yard.ledger.record(handle.task_id).final
    gate.touch()
    assert wait_final(yard.ledger, handle.task_id).state is State.SUCCESS
    assert messages_of(yard, handle.task_id) == ["attempt 1 speaks", "attempt 2 speaks"]


def test_a_time_limit_interrupts_in_the_middle_of_a_line(work: Start, yard: SimpleNamespace) -> None:
    work()
    handle = yard.tasks.talk_without_end.submit_sync()
    record = wait_final(yard.ledger, handle.task_id)
    failure = record.view().failure
    assert failure is not None
    assert failure.type == "SoftTimeLimitExceeded", "no handler took it for an error of a line"


def test_children_of_a_task_speak_by_the_own_log_alone(work: Start, yard: SimpleNamespace) -> None:
    work()
    handle = yard.tasks.talk_from_children.submit_sync()
    wait_final(yard.ledger, handle.task_id)
    assert messages_of(yard, handle.task_id) == ["own line of a child", "of the parent"]


@pytest.mark.parametrize(("level", "first"), [("debug", "hello ann"), ("error", "own line"), ("off", "own line")])
def test_the_level_is_a_setting(work: Start, yard: SimpleNamespace, level: str, first: str) -> None:
    work("--concurrency=1", "--loglevel=WARNING", ready="task events", BACKYARD_TASK_LOG_LEVEL=level)
    handle = yard.tasks.talk.submit_sync(who="ann")
    wait_final(yard.ledger, handle.task_id)
    messages = messages_of(yard, handle.task_id)
    assert messages[0] == first
    assert ("not to be seen" in messages) is (level == "debug")
    assert ("from Celery's task logger, ann" in messages) is (level != "off")
