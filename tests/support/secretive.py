"""A yard whose tasks take secrets, and say them wherever they can."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

from celery import current_task
from fastapi import FastAPI
from pydantic import BaseModel, Field, SecretStr

from backyard import Backyard, Context, Settings

#: What is looked for everywhere.
HIDDEN = "hunter2/of-ada"
TOKEN = "tok 'en\" of-ada"  # noqa: S105 - made up
KEY = "a key for tests that is long enough"
TARGET = "support.secretive:yard.celery"


class Login(BaseModel):
    """What a task gets."""

    user: str
    password: SecretStr


class Account(BaseModel):
    """What refuses the password, and shows it."""

    number: int


def make_yard(environment: Mapping[str, str]) -> Backyard:
    """Make the yard of an environment."""
    settings = Settings(
        redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]), lease=2,
        secret_keys=environment["BACKYARD_SECRET_KEYS"],
    )  # fmt: skip
    return Backyard(environment["TEST_YARD"], settings=settings)


def define_tasks(yard: Backyard) -> SimpleNamespace:
    """Declare the tasks."""

    @yard.task(retries=1, backoff=0.01, crash_limit=1)
    def log_in(
        ctx: Context,
        login: Login,
        token: Annotated[str, Field(json_schema_extra={"secret": True})],
        way: str = "nothing",
        gate: str = "",
    ) -> str:
        """Use a secret in one way or another."""
        while gate and not Path(gate).exists():
            time.sleep(0.01)
        return act(ctx, way, login.password.get_secret_value(), token)

    @yard.task
    def length(value: str, password: SecretStr) -> int:
        """Take the result of another, and a secret."""
        return len(value) + len(password.get_secret_value())

    @yard.task
    def first(text: str) -> str:
        """Be the first of a chain."""
        return text

    @yard.task(unique="until_done", unique_key="password", queue="unread")
    def once(password: SecretStr, note: str = "") -> None:
        """Wait for a worker that never comes."""

    @yard.task
    def opener(password: SecretStr) -> int:
        """Submit a task with the same secret from inside a worker."""
        return length.submit_sync("x", password).result_sync(timeout=30)

    return SimpleNamespace(log_in=log_in, length=length, first=first, once=once, opener=opener)


def act(ctx: Context, way: str, password: str, token: str) -> str:
    """Say the secrets in one way or another."""
    return WAYS[way](ctx, password, f"{password} and {token}") or "done"


def report(ctx: Context, _: str, both: str) -> None:
    """Say them as progress."""
    ctx.progress(1, 2, f"with {both}")


def fail(_: Context, password: str, both: str) -> None:
    """Say them in an exception's text and arguments."""
    raise ValueError(f"cannot log in with {both}", {"password": password})


def lead_on(_: Context, __: str, both: str) -> None:
    """Say them in the exception before the last."""
    try:
        raise KeyError(both)  # noqa: TRY301 - the case
    except KeyError as error:
        raise RuntimeError("no more than this") from error


def validate(_: Context, password: str, __: str) -> None:
    """Have them said by another library's exception, which makes its text of what is in it."""
    Account(number=password)


def fail_together(_: Context, password: str, both: str) -> None:
    """Say them in several exceptions."""
    raise ExceptionGroup("several", [ValueError(both), OSError(2, "no such file", password)])


def annotate(_: Context, __: str, both: str) -> None:
    """Say them in a note."""
    broken = ValueError("see the note")
    broken.add_note(both)
    raise broken


def fail_once(ctx: Context, _: str, both: str) -> None:
    """Say them in the reason for another attempt."""
    if ctx.attempt == 1:
        raise ValueError(both)


def retry_once(ctx: Context, _: str, both: str) -> None:
    """Say them in the reason for another attempt, as Celery's users ask for one."""
    if ctx.attempt == 1:
        raise current_task.retry(exc=ValueError(both), countdown=0.01)


def retry_wrong(ctx: Context, password: str, _: str) -> None:
    """The same with an exception that makes its text of what is in it."""
    try:
        Account(number=password if ctx.attempt == 1 else 1)
    except ValueError as error:
        raise current_task.retry(exc=error, countdown=0.01) from None


def update(_: Context, password: str, both: str) -> None:
    """Say them in a state of the task's own."""
    current_task.update_state(state="LOGGING_IN", meta={"url": f"ftp://ada:{password}@host/", "both": both})
    raise ValueError("seen enough")


def return_wrong(_: Context, __: str, both: str) -> Any:
    """Return them, as what the task does not declare."""
    return [both]


def die(ctx: Context, _: str, both: str) -> None:
    """Leave them as evidence."""
    ctx.log(f"dies with {both}")
    os.kill(os.getpid(), signal.SIGKILL)


def talk(ctx: Context, _: str, both: str) -> None:
    """Log the secrets by every means there is."""
    logger = logging.getLogger("library")
    ctx.log(f"ctx {both}", value=both)
    logger.warning("argument %s", both)
    logger.warning("text " + both)  # noqa: G003 - as people write it
    logger.warning("%r", {"value": both}, extra={"beside": both})
    try:
        raise ValueError(both)  # noqa: TRY301 - the case
    except ValueError:
        logger.exception("with a traceback")
    thread = threading.Thread(target=logger.warning, args=("in a thread %s", both))
    thread.start()
    thread.join()


def nothing(_: Context, __: str, ___: str) -> None:
    """Keep them."""


WAYS: dict[str, Callable[[Context, str, str], Any]] = {
    way.__name__: way
    for way in (
        nothing, talk, report, fail, lead_on, validate, fail_together, annotate, fail_once, retry_once,
        retry_wrong, update,
        return_wrong, die,
    )
}  # fmt: skip
FAIL = {"fail", "lead_on", "validate", "fail_together", "annotate", "update", "return_wrong", "die"}


def everything(client: Any, yard: str) -> bytes:
    """Return all that the server keeps of a yard, names and values."""
    parts: list[bytes] = []
    for key in client.scan_iter(match=f"*{yard}*", count=1000):
        kind = client.type(key)
        if kind == b"none":  # it has ended since it was named: a lease, a lead
            continue
        parts.append(key)
        if kind == b"string":
            parts.append(client.get(key) or b"")
        elif kind == b"hash":
            parts += [part for pair in client.hgetall(key).items() for part in pair]
        elif kind == b"list":
            parts += client.lrange(key, 0, -1)
        elif kind == b"set":
            parts += client.smembers(key)
        elif kind == b"zset":
            parts += client.zrange(key, 0, -1)
        elif kind == b"stream":
            parts += [part for _, fields in client.xrange(key) for pair in fields.items() for part in pair]
        else:
            raise AssertionError(f"{key!r} is a {kind!r}")
    return b"\n".join(parts)


if "BACKYARD_SECRET_KEYS" in os.environ:
    yard = make_yard(os.environ)
    tasks = define_tasks(yard)
    app = FastAPI()
    yard.mount(app)
