"""How the engine waits for a server that is away: long, and with few words."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery.worker import state as worker_state
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError

from backyard.engine import reconnect
from support.plain import make_app
from support.processes import free_port


@pytest.fixture
def backend() -> Any:
    """A backend whose server is nowhere; nothing here connects to it."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    options = {"result_backend_always_retry": True, "result_backend_max_sleep_between_retries_ms": 1}
    return make_app({"BACKYARD_REDIS_URL": url}, **options).backend


def failing(*errors: Exception) -> Any:
    rest: Iterator[Exception] = iter(errors)

    def call(value: int) -> int:
        for error in rest:
            raise error
        return value

    return call


def test_it_tries_until_there_is_an_answer_and_says_so_once(backend: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    errors = [RedisConnectionError("away")] * 20 + [OutOfMemoryError("full"), ResponseError("NOREPLICAS few")]
    assert backend._ensure_retryable(failing(*errors), 7, fallback_exc=KeyError, fallback_msg="no") == 7
    assert [record.getMessage() for record in caplog.records] == [
        "The server is away, trying again until it answers: away",
        "The server answers again, after 22 tries",
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_what_will_not_work_later_is_not_tried_again(backend: Any) -> None:
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        backend._ensure_retryable(failing(ResponseError("WRONGTYPE no")), 7)
    with pytest.raises(RedisConnectionError):
        backend._ensure_retryable(failing(*[RedisConnectionError("away")] * 3), 7, max_retries=2)


def test_a_worker_that_is_to_end_at_once_does_not_wait(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (0, 1, True):  # Celery keeps the exit code there
        monkeypatch.setattr(worker_state, "should_terminate", code)
        with pytest.raises(RedisConnectionError):
            backend._ensure_retryable(failing(RedisConnectionError("away")), 7)
    monkeypatch.setattr(worker_state, "should_terminate", False)
    assert backend._ensure_retryable(failing(RedisConnectionError("away")), 7) == 7


def test_a_plain_app_keeps_celerys_own_ways(backend: Any) -> None:
    backend.always_retry = False
    with pytest.raises(RedisConnectionError):
        backend._ensure_retryable(failing(RedisConnectionError("away")), 7)
    assert backend._ensure_retryable(failing(), 7) == 7


def test_connecting_is_tried_often_and_told_of_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST", "STEP", "MOST"):
        monkeypatch.setattr(reconnect, name, 0.0)
    monkeypatch.setattr(reconnect, "SILENT", 10)
    told: list[Exception] = []
    connection = reconnect.PromptConnection(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(OperationalError):
        connection.ensure_connection(lambda error, _: told.append(error), max_retries=25)
    assert len(told) == 3
    connection.release()
