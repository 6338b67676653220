"""Typed tasks in batches run without Celery's tracer, where nobody could tell; else with it, as ever."""

from __future__ import annotations

import json
import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import pytest
from celery import current_task, signals
from celery.app import trace
from celery.app.task import Context as CeleryContext
from celery.exceptions import Ignore, Reject
from pydantic import Field

from backyard import Backyard, Context, Retry, Settings
from backyard.core.models import FailureKind
from backyard.core.states import State
from backyard.embedded.ports import free_port
from backyard.engine import batch
from backyard.engine.batch import line_to, read_item
from backyard.engine.lean import is_fit, is_seen
from backyard.ledger.record import Record
from support.child import HOSTNAME, Child
from support.clean import assert_clean, wait_for_state

KEY = "a key for tests that is long enough"
TOKEN = "hunter2/of-ada"  # noqa: S105 - made up
LEAN, CELERYS = "lean", "Celery's"


def way() -> str:
    """Return which way the function that calls this was called."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == trace.__file__:
            return CELERYS
        frame = frame.f_back
    return LEAN


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a batch keep what it has, though one of its tasks may take long on a busy machine."""
    monkeypatch.setattr(batch, "LONG", 500)


@pytest.fixture
def child(new_yard: Backyard) -> Iterator[Child]:
    made = Child(new_yard)
    yield made
    made.close()


def results(records: list[Record]) -> list[str | None]:
    return [record.text("result") for record in records]


@contextmanager
def heard(signal: Any) -> Iterator[list[Any]]:
    """Receive a signal within."""
    news: list[Any] = []

    def receive(sender: Any = None, **_: Any) -> None:
        news.append(sender)

    signal.connect(receive)
    try:
        yield news
    finally:
        signal.disconnect(receive)


def define_way(yard: Backyard) -> Any:
    """Define a task that returns which way it ran; returns its Celery task."""
    yard.task(way)
    return yard.celery.tasks["way"]


def test_a_task_sees_what_it_sees_the_other_way(child: Child) -> None:
    seen = []

    @child.yard.task
    def look(ctx: Context, number: int) -> str:
        assert number
        request = current_task.request
        seen.append((vars(request).copy(), request.id == ctx.task_id, current_task.name))
        return way()

    with heard(signals.task_prerun):
        other = child.run("look", '{"number":1}', '{"number":2}')
    ours = child.run("look", '{"number":1}', '{"number":2}')
    assert results([record for _, record in other]) == [f'"{CELERYS}"'] * 2
    assert results([record for _, record in ours]) == [f'"{LEAN}"'] * 2
    assert {(told[2], record.state) for told, record in ours} == {("SUCCESS", State.SUCCESS)}
    assert [(own, name) for _, own, name in seen] == [(True, "look")] * 4

    def alike(request: dict[str, Any]) -> dict[str, Any]:
        its_own = {"id", "root_id", "correlation_id", "entry", "headers", "properties"}
        return {key: value for key, value in request.items() if key not in its_own}

    assert alike(seen[0][0]) == alike(seen[2][0])
    assert alike(seen[1][0]) == alike(seen[3][0])
    assert {(request["kwargs"]["number"], request["called_directly"]) for request, *_ in seen} == {
        (1, False),
        (2, False),
    }
    assert set(ours[0][1].fields) == set(other[0][1].fields)
    assert_clean(child.yard.ledger, leases=0)


def test_nothing_is_left_of_a_task(child: Child) -> None:
    task = define_way(child.yard)
    child.run_two("way")

    def left() -> tuple[Any, Any]:
        return task.request_stack.top, bool(current_task)

    assert child.thread.submit(left).result() == (None, False)


def test_headers_are_those_that_celery_finds(child: Child) -> None:
    define_way(child.yard)
    rows = child.deliver("way", "{}")
    request = read_item(child.yard.celery, rows[0], HOSTNAME).request
    alone = {key: value for key, value in request.items() if key != "headers"}
    assert CeleryContext(alone).headers == request["headers"]


@pytest.mark.parametrize("signal", ["task_prerun", "task_postrun", "task_success"])
def test_who_listens_hears(child: Child, signal: str) -> None:
    task = define_way(child.yard)
    assert results(child.run_two("way")) == [f'"{LEAN}"'] * 2
    with heard(getattr(signals, signal)) as news:
        assert results(child.run_two("way")) == [f'"{CELERYS}"'] * 2
    assert news == [task, task]


@pytest.mark.parametrize("hook", ["before_start", "on_success", "after_return"])
def test_hooks_are_called(child: Child, hook: str) -> None:
    called = []
    task = define_way(child.yard)
    setattr(type(task), hook, lambda *_: called.append(hook))
    assert results(child.run_two("way")) == [f'"{CELERYS}"'] * 2
    assert called == [hook] * 2


def test_a_call_of_ones_own_is_called(child: Child) -> None:
    task = define_way(child.yard)
    called = []
    before = type(task).__call__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        called.append(self.name)
        return before(self, *args, **kwargs)

    type(task).__call__ = call
    assert results(child.run_two("way")) == [f'"{CELERYS}"'] * 2
    assert called == ["way"] * 2


def test_who_measures_tasks_by_a_tracer_does(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    before, traced = trace.build_tracer, []

    def build(name: str, task: Any, *args: Any, **options: Any) -> Any:
        run = before(name, task, *args, **options)

        def measured(*words: Any, **more: Any) -> Any:
            traced.append(name)
            return run(*words, **more)

        return measured

    monkeypatch.setattr(trace, "build_tracer", build)
    define_way(child.yard)
    assert results(child.run_two("way")) == [f'"{CELERYS}"'] * 2
    assert traced == ["way"] * 2


def test_a_task_of_celerys_own_kind_goes_its_way(new_yard: Backyard) -> None:
    new_yard.celery.task(way, name="plain")
    plain = new_yard.celery.tasks["plain"]
    typed = define_way(new_yard)
    assert (is_fit(new_yard.celery, plain), is_fit(new_yard.celery, typed)) == (False, True)
    typed.track_started = True
    assert not is_fit(new_yard.celery, typed)


@pytest.mark.parametrize("part", ["callbacks", "errbacks", "chain", "chord", "group"])
def test_a_part_of_a_canvas_is_seen(part: str) -> None:
    alone = {"ignore_result": False}
    assert not is_seen(alone)
    assert is_seen({**alone, part: ["something"]})


def test_a_result_that_nobody_wants_goes_celerys_way() -> None:
    assert is_seen({"ignore_result": True})
    assert is_seen({})


def wishing(yard: Backyard, runs: list[int]) -> None:
    """Define tasks that end otherwise than in success, each with its number."""

    def ending(name: str, end: Callable[[], Any], **options: Any) -> None:
        def run(ctx: Context) -> int:
            assert way() == LEAN
            runs.append(ctx.attempt)
            return end()  # type: ignore[no-any-return]

        yard.task(name=name, **options)(run)

    def throw(error: Exception) -> Any:
        raise error

    ending("fail", lambda: throw(ValueError("it broke")))
    ending("again", lambda: throw(ValueError("it broke")), retries=1, backoff=60)
    ending("later", lambda: throw(Retry(after=60)), retries=1)
    ending("ignored", lambda: throw(Ignore()))
    ending("refused", lambda: throw(Reject("not here", requeue=False)))
    ending("wrong", lambda: "no number")
    ending("leave", lambda: sys.exit(3))


@pytest.mark.parametrize(
    ("name", "told", "state", "kind"),
    [
        ("fail", "FAILURE", State.FAILURE, FailureKind.ERROR),
        ("again", "RETRY", State.RETRY, FailureKind.ERROR),
        ("later", "RETRY", State.RETRY, FailureKind.ERROR),
        ("ignored", "IGNORED", State.SUCCESS, None),
        ("refused", "REJECTED", State.FAILURE, FailureKind.ERROR),
        ("wrong", "FAILURE", State.FAILURE, FailureKind.INVALID_RESULT),
        ("leave", "FAILURE", State.FAILURE, FailureKind.ERROR),
    ],
)
def test_what_is_raised_is_celerys_to_see_to(
    child: Child, name: str, told: str, state: State, kind: FailureKind | None
) -> None:
    runs: list[int] = []
    wishing(child.yard, runs)
    with heard(signals.task_failure) as failures, heard(signals.task_retry) as retries:
        ended = child.run(name, "{}", "{}")
    assert runs == [1, 1]  # each ran once
    assert [(one[2], record.state) for one, record in ended] == [(told, state)] * 2
    assert [record.failure.kind if record.failure else None for _, record in ended] == [kind] * 2
    assert len(failures) == (2 if state is State.FAILURE else 0)
    assert len(retries) == (2 if told == "RETRY" else 0)


def test_a_failure_is_told_as_ever(child: Child, caplog: pytest.LogCaptureFixture) -> None:
    wishing(child.yard, [])
    with caplog.at_level(logging.INFO, "celery.app.trace"):
        (_, record), _ = child.run("fail", "{}", "{}")
    lines = [one.getMessage() for one in caplog.records if one.name == "celery.app.trace"]
    assert [line.partition(": ")[2] for line in lines] == ["ValueError('it broke')"] * 2
    assert "in throw" in (record.text("traceback") or "")
    assert record.failure is not None
    assert "in throw" in (record.failure.traceback or "")


def test_what_celery_raises_for_a_retry_runs_once(child: Child) -> None:
    ran = []

    @child.yard.task(retries=1)
    def old_way() -> int:
        ran.append(1)
        raise current_task.retry(countdown=60)

    records = child.run_two("old_way")
    assert [record.state for record in records] == [State.RETRY] * 2
    assert ran == [1, 1]


def test_secrets_stay_hidden(environment: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(
        redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]), secret_keys=KEY
    )
    child = Child(Backyard(environment["TEST_YARD"], settings=settings))

    @child.yard.task
    def log_in(token: Annotated[str, Field(json_schema_extra={"secret": True})], good: bool) -> str:  # noqa: FBT001
        assert token == TOKEN
        logging.getLogger("some.library").warning("the token is %s", token)
        if not good:
            raise ValueError(f"not {token}")
        return way()

    payloads = [json.dumps({"token": TOKEN, "good": good}) for good in (True, False)]
    (_, good), (told, bad) = child.run("log_in", *payloads)
    child.close()
    assert (good.text("result"), bad.state) == (f'"{LEAN}"', State.FAILURE)
    assert "ValueError" in str(bad.fields)
    logs = [child.yard.ledger.run(child.yard.ledger.calls.log(one)) for one in (good.task_id, told[0])]
    assert [len(lines) for lines in logs] == [1, 1]
    assert "the token is" in caplog.text
    said = {
        **{f"good {key}": one for key, one in good.fields.items()},
        "logs": logs,
        "log": caplog.text,
        **{f"bad {key}": one for key, one in bad.fields.items()},
    }
    assert not [name for name, one in said.items() if TOKEN in str(one)]


def test_what_a_task_sends_is_its_child(child: Child) -> None:
    @child.yard.task
    def inner() -> int:
        return 1

    @child.yard.task
    def outer() -> str:
        child.yard.celery.tasks["inner"].delay()
        return way()

    records = child.run_two("outer")
    assert results(records) == [f'"{LEAN}"'] * 2
    assert all("celery" in record.fields and "children" in str(record.fields["celery"]) for record in records)


def test_a_task_that_is_told_to_stop_stops(child: Child) -> None:
    @child.yard.task
    def stop_me(ctx: Context) -> int:
        assert way() == LEAN
        child.yard.cancel_sync([ctx.task_id])
        ctx.progress(1, 2)
        return 1

    assert [record.state for record in child.run_two("stop_me")] == [State.REVOKED] * 2
    assert_clean(child.yard.ledger, leases=0)


def test_what_is_logged_is_kept(child: Child) -> None:
    @child.yard.task
    def say(ctx: Context) -> str:
        ctx.log("by the context")
        logging.getLogger("some.library").warning("by a library")
        return way()

    ended = child.run("say", "{}", "{}")
    ledger = child.yard.ledger
    for told, record in ended:
        assert record.text("result") == f'"{LEAN}"'
        lines = ledger.run(ledger.calls.log(told[0]))
        assert [line["message"] for line in lines] == ["by the context", "by a library"]


@pytest.mark.parametrize(("breaks", "long", "ran"), [("lost", 5, {2, 3}), ("refused", 6_000, {3})])
def test_outcomes_are_told_though_their_connection_broke(
    child: Child, monkeypatch: pytest.MonkeyPatch, breaks: str, long: int, ran: set[int]
) -> None:
    """What has ended goes with the question for the next tasks, whose answer is read after those that run."""
    ledger = child.yard.ledger
    told: list[str] = []
    ours, others = socket.socketpair()

    def cut() -> None:
        connection: Any = line_to(ledger)._connection
        if breaks == "lost":  # what is sent next goes nowhere; nothing says so before its answer is read
            others.sendall(connection._sock.recv(1 << 16))  # the answer that is on its way
            others.shutdown(socket.SHUT_WR)
            connection._sock.close()
            connection._sock = ours
            connection._parser.on_connect(connection)
        else:
            connection.disconnect()
            connection.port = free_port()

    @child.yard.task
    def step(ctx: Context, number: int) -> int:
        if number == 0:  # the next one has begun, and the question for the one after it comes when this is over
            while len(ledger.run(ledger.calls.listing([State.STARTED], "step", 10, None))[1]) < 2:
                time.sleep(0.001)
            told.append(ctx.task_id)
            cut()
        elif number == 1:
            monkeypatch.setattr(batch, "LONG", long)  # only now: on a busy machine the first may take long
            wait_for_state(ledger, told[0], State.SUCCESS)
        return number

    ended = child.run("step", *(json.dumps({"number": number}) for number in range(3)), at_once=1)
    assert [(record.state, record.text("result")) for _, record in ended] == [
        (State.SUCCESS, str(number)) for number in range(len(ended))
    ]
    assert len(ended) in ran, "the last one goes back, unless the one before it ends as soon as its outcome is told"
    ours.close()
    others.close()
