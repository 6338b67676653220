"""The worker's own log: one line a record, for people or for machines, each with the task that it is about."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backyard.core.log_line import let_through
from backyard.engine.worker_log import mark_of
from backyard.logs import TASK, ConsoleFormatter, JsonFormatter, Mark, Stream, make_formatter
from support.chatty import TARGET, Unwritable, define, define_celery, yard_of
from support.clean import wait_final
from support.processes import Process, start_worker

Start = Callable[..., Process]
JSON = {"BACKYARD_LOG_FORMAT": "json"}


@pytest.fixture
def yard(environment: dict[str, str]) -> Iterator[SimpleNamespace]:
    made = yard_of(environment)
    define_celery(made)
    yield SimpleNamespace(ledger=made.ledger, tasks=define(made), celery=made.celery)
    made.ledger.close()


@pytest.fixture
def work(environment: dict[str, str]) -> Iterator[Start]:
    started: list[Process] = []

    def start(*options: str, target: str = TARGET, **more: str) -> Process:
        process = start_worker({**environment, **more}, *options, "--concurrency=1", target=target)
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


def parsed(worker: Process) -> list[dict[str, Any]]:
    """Read all that a worker has printed; each line is an object."""
    lines = [line for line in worker.lines if line]
    return [json.loads(line) for line in lines if not before_the_log(line)]


def before_the_log(line: str) -> bool:
    """Whether a line is a warning of Python's own, printed before anybody sets up logging."""
    return "SecurityWarning" in line or line.startswith(
        ("absolutely not", "Please specify", "User information", "  _warn_or_raise")
    )


@pytest.mark.parametrize("pool", ["--pool=prefork", "--pool=threads", "--pool=solo"])
def test_each_line_for_machines_says_whose_it_is(work: Start, yard: SimpleNamespace, pool: str) -> None:
    worker = work(pool, **JSON)
    handle = yard.tasks.talk.submit_sync(who="ann")
    wait_final(yard.ledger, handle.task_id)
    worker.wait_for_line("succeeded in")
    lines = parsed(worker)
    assert all({"time", "level", "logger", "message", "process"} <= line.keys() for line in lines)
    own = {"task_id": handle.task_id, "name": "talk"}
    said = {line["message"]: line for line in lines}
    for message in ("hello ann", "from Celery's task logger, ann", "from a thread of ann"):
        assert own.items() <= said[message].items()
        assert said[message]["attempt"] == 1
        assert len([line for line in lines if line["message"] == message]) == 1
    assert said["hello ann"]["order"] == 7
    (received,) = [line for line in lines if line["message"].endswith("received")]
    assert own.items() <= received.items()
    assert "data" not in received
    (succeeded,) = [line for line in lines if "succeeded in" in line["message"]]
    assert {**own, "attempt": 1}.items() <= succeeded.items()
    assert not {"task_id", "name", "attempt"} & said[f"{worker_name(lines)} ready."].keys()


def worker_name(lines: list[dict[str, Any]]) -> str:
    ready = next(str(line["message"]) for line in lines if line["message"].endswith(" ready."))
    return ready.removesuffix(" ready.")


def test_what_is_hard_to_write_is_a_line_as_well(work: Start, yard: SimpleNamespace, tmp_path: Path) -> None:
    worker = work(**JSON)
    odd = yard.tasks.odd.submit_sync(gate=str(tmp_path))
    failing = yard.tasks.fail_aloud.submit_sync()
    plain = yard.celery.send_task("plain_talk")
    for task_id in (odd.task_id, failing.task_id, plain.id):
        wait_final(yard.ledger, task_id)
    worker.wait_for_line("plain, try 1")
    worker.stop()
    lines = parsed(worker)
    assert [line["message"] for line in lines if line.get("task_id") == odd.task_id and "last" in line["message"]]
    raised = [line for line in lines if line["message"].startswith("it went wrong")]
    assert [(line["task_id"], line["attempt"]) for line in raised] == [(failing.task_id, n) for n in (1, 2)]
    assert all("Traceback" in line["exception"] for line in raised)
    tries = [line for line in lines if line["message"].startswith("plain, try")]
    assert [(line["task_id"], line["attempt"], line["name"]) for line in tries] == [
        (plain.id, 1, "plain_talk"),
        (plain.id, 2, "plain_talk"),
    ]


def test_lines_for_people_say_it_in_brackets(work: Start, yard: SimpleNamespace) -> None:
    worker = work()
    handle = yard.tasks.talk.submit_sync(who="ann")
    wait_final(yard.ledger, handle.task_id)
    line = worker.wait_for_line("from a thread of ann")
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    assert re.fullmatch(rf"{stamp} WARNING  library\.part: \[talk {handle.task_id} 1\] from a thread of ann", line)
    received = worker.wait_for_line(" received")
    assert received.endswith(f"INFO     celery.worker.strategy: Task talk[{handle.task_id}] received")


def test_the_command_line_says_the_level(work: Start, yard: SimpleNamespace) -> None:
    worker = work("--loglevel=DEBUG", BACKYARD_TASK_LOG_LEVEL="off", **JSON)
    handle = yard.tasks.talk.submit_sync(who="ann")
    wait_final(yard.ledger, handle.task_id)
    worker.wait_for_line("not to be seen")
    assert all(parsed(worker))


def test_a_users_own_set_up_stays(work: Start, yard: SimpleNamespace) -> None:
    worker = work(target="support.own_logging:yard.celery", **JSON)
    handle = yard.tasks.talk.submit_sync(who="ann")
    wait_final(yard.ledger, handle.task_id)
    worker.wait_for_line("OWN library.part hello ann")
    lines = yard.ledger.run(yard.ledger.calls.log(handle.task_id))
    assert lines[0]["message"] == "hello ann", "what it logs is kept all the same"


@pytest.mark.parametrize(
    ("logger", "message", "arguments", "mark"),
    [
        ("celery.worker.request", "Hard time limit (%ss) exceeded for %s[%s]", (5, "shop.add", "an-id"),
         ("shop.add", "an-id", "")),
        ("celery.worker.request", "Task %s[%s] retry: %s", ("add", "an-id", "x[y]"), ("add", "an-id", "")),
        ("celery.worker", "%s ready.", ("me@here",), None),
        ("celery.worker", "%d", ("this",), None),
        ("backyard.attempt", "Task %s waits to start: %s", ("0192-ab", "away"), ("", "0192-ab", "")),
        ("backyard.pulse", "Task by task", (), None),
        ("shop", "Task %s[%s]", ("of", "others"), None),
    ],
)  # fmt: skip
def test_lines_of_the_machinery_say_which_task_they_mean(
    logger: str, message: str, arguments: tuple[Any, ...], mark: Mark | None
) -> None:
    assert mark_of(logging.LogRecord(logger, logging.INFO, __file__, 1, message, arguments, None)) == mark


# -- the formatters ---------------------------------------------------------------------------------------------------


def record_of(message: Any, *arguments: Any, **extra: Any) -> logging.LogRecord:
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, message, arguments, None)
    vars(record).update(extra)
    return record


@pytest.mark.parametrize("form", ["console", "json"])
def test_every_record_can_be_written(form: str) -> None:
    formatter = make_formatter(form)
    assert isinstance(formatter, JsonFormatter if form == "json" else ConsoleFormatter)
    odd = [
        record_of("%d", "x"), record_of(Unwritable()), record_of("%s", Unwritable()), record_of("\udcff"),
        record_of("m", thing=Unwritable(), nan=float("nan"), level="taken", **{TASK: ("name", "id", "2")}),
        record_of({"a": 1}),
    ]  # fmt: skip
    for record in odd:
        line = formatter.format(record)
        assert "\n" not in line
        assert form == "console" or json.loads(line)["message"]
    line = formatter.format(odd[4])
    if form == "json":
        assert {
            "level": "info",
            "level_": "taken",
            "task_id": "id",
            "name": "name",
            "attempt": 2,
        }.items() <= json.loads(line).items()
        assert json.loads(line)["thing"].startswith("<Unwritable")
    else:
        assert line.endswith("INFO     shop: [name id 2] m")


def test_color_is_for_what_is_serious() -> None:
    record = record_of("m")
    assert "\x1b" not in ConsoleFormatter(color=True).format(record)
    record.levelname = "ERROR"
    assert "\x1b[31mERROR" in ConsoleFormatter(color=True).format(record)
    assert "\x1b" not in ConsoleFormatter().format(record)


class InterruptError(Exception):
    """What a time limit raises wherever it finds its task."""


let_through(InterruptError)


class Interrupting:
    def __str__(self) -> str:
        raise InterruptError


@pytest.mark.parametrize("form", ["console", "json"])
def test_what_interrupts_a_task_reaches_it(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    handler = Stream()
    handler.setFormatter(make_formatter(form))
    with pytest.raises(InterruptError):
        handler.handle(record_of("%s", Interrupting()))
    handler.handle(record_of("fine"))
    assert "fine" in capsys.readouterr().err
