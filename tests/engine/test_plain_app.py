"""A plain Celery app on our transport and backend sees what it would see on Celery's own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chain
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult

from backyard import Backyard, Settings
from backyard.core.states import State
from backyard.ledger.ledger import Ledger
from support.clean import leftovers, wait_final, wait_until
from support.plain import make_app
from support.processes import Process, start_worker


def closed(app: Celery) -> None:
    app.backend.result_consumer.stop()
    app.backend.client.connection_pool.disconnect()
    if app.backend.ledger_client is not app.backend.client:
        app.backend.ledger_client.connection_pool.disconnect()
    app.close()


@pytest.fixture
def app(environment: dict[str, str]) -> Iterator[Celery]:
    app = make_app(environment)
    yield app
    closed(app)


@pytest.fixture
def crew(environment: dict[str, str]) -> Iterator[Process]:
    worker = start_worker(environment, "--concurrency=2", target="support.plain:app")
    yield worker
    worker.end()


def states_of(ledger: Ledger) -> dict[str, str]:
    client: Any = ledger.client
    found = {}
    for key in client.scan_iter(f"{ledger.keys.prefix}task:*"):
        name, state = client.hmget(key, "name", "state")
        found[name.decode()] = state.decode()
    return found


def test_a_task_may_be_sent_anew(app: Celery, crew: Process, ledger: Ledger) -> None:
    retried, replaced = app.tasks["retrying"].delay(3), app.tasks["replacing"].delay()
    assert retried.get(timeout=30) == 3
    assert replaced.get(timeout=30) == 6
    once = app.tasks["add"].apply_async((1, 2), retries=1)  # whoever copies a request may send that too
    assert once.get(timeout=30) == 3
    wait_until(lambda: not leftovers(ledger, 1), "nothing is left over")
    assert set(states_of(ledger).values()) == {"SUCCESS"}
    assert crew.child.poll() is None


def test_what_waits_in_a_queue_is_there_once(app: Celery, ledger: Ledger) -> None:
    for _ in range(3):
        app.tasks["add"].apply_async((1, 2), task_id="same", retries=2)
        app.tasks["add"].apply_async((1, 2), task_id="later", countdown=600)
    assert ledger.run(ledger.calls.depth(["celery"])) == {"celery": 1}
    assert ledger.run(ledger.calls.due(10)) == ["later"]


def test_time_is_what_the_task_sees(app: Celery, crew: Process) -> None:
    at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.3)
    assert dt.datetime.fromisoformat(app.tasks["eta"].apply_async(eta=at).get(timeout=30)) == at
    assert app.tasks["eta"].delay().get(timeout=30) is None
    past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=60)
    expired = app.tasks["add"].apply_async((1, 2), expires=past)
    with pytest.raises(TaskRevokedError):
        expired.get(timeout=30)
    assert expired.status == "REVOKED"
    crew.wait_for_line("Discarding revoked task")


def test_an_ignored_result_is_none(app: Celery, crew: Process, ledger: Ledger) -> None:
    result = app.tasks["add"].apply_async((1, 2), ignore_result=True)
    assert wait_final(ledger, result.id).state is State.SUCCESS
    assert app.backend.get_task_meta(result.id) == {"status": "PENDING", "result": None}
    assert crew.child.poll() is None


def test_a_record_that_nobody_ends_ends_by_itself(app: Celery, crew: Process, ledger: Ledger) -> None:
    result = app.tasks["ignoring"].delay()
    client: Any = ledger.client
    wait_until(lambda: client.get(result.id), "it runs")
    # What Celery acknowledges early is acknowledged when it is handed to the pool, or a little later.
    wait_until(lambda: client.ttl(ledger.keys.task(result.id)) > 0, "its record has an end")
    assert crew.child.poll() is None


def test_a_result_without_a_task_is_kept_as_by_celery(environment: dict[str, str], ledger: Ledger) -> None:
    app = make_app(environment, result_expires=60, result_failure_expires=600)
    app.backend.store_result("good", {"a": [1]}, "SUCCESS")
    app.backend.store_result("bad", KeyError("x"), "FAILURE")
    assert app.AsyncResult("good").get(timeout=10) == {"a": [1]}
    with pytest.raises(KeyError):
        app.AsyncResult("bad").get(timeout=10)
    assert 0 < app.backend.client.ttl(app.backend.get_key_for_task("good")) <= 60
    assert 60 < app.backend.client.ttl(app.backend.get_key_for_task("bad")) <= 600
    assert app.backend.task_result_exists("good")
    assert {key: meta["status"] for key, meta in app.backend.get_many(["good", "bad"])} == {
        "good": "SUCCESS", "bad": "FAILURE",
    }  # fmt: skip
    assert states_of(ledger) == {}
    app.AsyncResult("good").forget()
    assert not app.backend.task_result_exists("good")
    closed(app)


def test_lifetimes_are_the_apps_own(environment: dict[str, str], crew: Process, ledger: Ledger) -> None:
    app = make_app(environment, result_expires=60, result_failure_expires=600)
    client: Any = ledger.client
    added, failed = app.tasks["add"].delay(1, 2), app.tasks["fail"].delay()
    assert added.get(timeout=30) == 3
    with pytest.raises(ValueError, match="on purpose"):
        failed.get(timeout=30)
    # The worker's settings count, as with Celery: a day for both.
    assert 3600 < client.ttl(ledger.keys.task(added.id)) <= 86_400
    app.backend.store_result(failed.id, KeyError("x"), "FAILURE")
    assert 60 < client.ttl(ledger.keys.task(failed.id)) <= 600
    assert crew.child.poll() is None
    closed(app)


def test_a_client_that_reads_text(environment: dict[str, str], crew: Process) -> None:
    url = environment["BACKYARD_REDIS_URL"]
    app = make_app(environment)
    app.conf.result_backend = f"backyard.engine.backend:LedgerBackend+{url}?decode_responses=true"
    assert app.tasks["add"].delay("a", "é").get(timeout=30) == "aé"
    assert chain(app.tasks["add"].s(1, 2), app.tasks["add"].s(3))().get(timeout=30) == 6
    assert crew.child.poll() is None
    closed(app)


def test_a_yards_task_can_be_waited_for(
    app: Celery, environment: dict[str, str], ledger: Ledger, new_yard: Backyard
) -> None:
    """A program may read the results of a yard it is no part of."""

    @new_yard.task(name="greet")
    def greet(name: str) -> str:
        return f"hello {name}"

    handle = greet.submit_sync("you")
    result = AsyncResult(handle.task_id, app=app)
    assert result.status == "PENDING"
    channel = app.backend.channel_of(handle.task_id)
    app.backend.result_consumer.consume_from(handle.task_id)
    client: Any = ledger.client
    assert client.pubsub_numsub(channel) == [(channel, 1)]
    handle.cancel_sync()
    with pytest.raises(TaskRevokedError):
        result.get(timeout=30)
    assert client.pubsub_numsub(channel) == [(channel, 0)]
    assert isinstance(new_yard.settings, Settings)
    assert environment["TEST_YARD"] in app.backend.calls.keys.prefix
