"""The result backend: all of Celery's state changes pass through ``store_result``, and become guarded moves here."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import UTC
from typing import Any, TypeVar

from billiard.exceptions import WorkerLostError
from celery import states
from celery.backends import redis as stock
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded
from kombu.utils.encoding import ensure_bytes

from backyard.core.errors import BackyardError
from backyard.core.failure import failure_of
from backyard.core.models import FailureKind, Progress
from backyard.core.states import State, Verb
from backyard.engine.current import Attempt, current_attempt
from backyard.ledger.call import Call, Word
from backyard.ledger.calls import Calls
from backyard.ledger.events import read_published
from backyard.ledger.keys import Keys
from backyard.ledger.ledger import send, unavailable
from backyard.ledger.record import Record

logger = logging.getLogger("backyard.backend")

T = TypeVar("T")

_VERBS = {
    State.SUCCESS: Verb.SUCCEED,
    State.FAILURE: Verb.FAIL,
    State.REVOKED: Verb.STOP,
    State.PROGRESS: Verb.PROGRESS,
}
_KEPT = frozenset(State)


class InvalidResultError(BackyardError):
    """What the function returned is not what it declares."""

    code = "invalid_result"
    title = "The result is not of the declared type"


class ResultConsumer(stock.ResultConsumer):
    """Waits for results on the tasks' own channels.

    Letting go of a result happens anywhere, in the garbage collector too: it never waits for the server. A connection
    that breaks there is made anew by the next who may wait.
    """

    _broken = False

    def _flush_pending_unsubscribe(self) -> None:
        """Unsubscribe from what nobody waits for, unless this thread or another is busy with the connection."""
        if self._lock_depth.value:
            return
        while self._pending_unsubscribe and self._pubsub_lock.acquire(blocking=False):
            self._lock_depth.value += 1
            try:
                self._unsubscribe(self._pending_unsubscribe.pop())
            finally:
                self._lock_depth.value -= 1
                self._pubsub_lock.release()

    def _unsubscribe(self, key: bytes) -> None:
        if key not in self.subscribed_to:
            return
        self.subscribed_to.discard(key)
        if self._pubsub is None or self._broken:
            return
        connection = self._pubsub.connection
        if connection is None or connection._sock is None:  # noqa: SLF001 - sending would connect, and wait for that
            self._broken = True
            return
        try:
            connection.send_command("UNSUBSCRIBE", key, check_health=False)
        except self._connection_errors:
            self._broken = True
        else:
            self._pubsub.pending_unsubscribe_channels.update(self._pubsub._normalize_keys({key: None}))  # noqa: SLF001

    def _consume_from(self, task_id: str) -> None:
        if self._broken:
            self._reconnect()
        super()._consume_from(task_id)

    def _drain_one(self, pubsub: Any, timeout: float | None) -> bool:
        if self._broken:
            self._reconnect()
            return True
        return bool(super()._drain_one(pubsub, timeout))

    def _reconnect_pubsub(self) -> None:
        if self._pubsub is not None and self._pubsub.connection is not None:
            self._pubsub.connection.disconnect()  # Celery would leave its socket to the collector
        super()._reconnect_pubsub()
        self._broken = False
        # Subscribed first, read second: what ended while the connection was away is found, and nothing falls between.
        for key in list(self.subscribed_to):
            meta = self.backend._get_task_meta_for(key.decode().partition(":task:")[2])  # noqa: SLF001 - our own backend
            if meta["status"] in states.READY_STATES:
                self.on_state_change(meta, None)


class LedgerBackend(stock.RedisBackend):
    """Celery's results, kept in the ledger's records. Chords and groups stay as in Celery's Redis backend."""

    ResultConsumer = ResultConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options = {**(self.app.conf.broker_transport_options or {}), **self._transport_options}
        self.calls = Calls(Keys(options.get("yard", "celery")), options.get("events_kept", 100_000))
        prefix = self.calls.keys.prefix
        self.task_keyprefix = ensure_bytes(f"{prefix}task:")
        self.group_keyprefix = ensure_bytes(f"{prefix}group:")
        self.chord_keyprefix = ensure_bytes(f"{prefix}chord:")

    def send(self, call: Call[Any]) -> Any:
        """Send a call with the backend's own client; connection errors pass, for Celery retries them."""
        return send(self.client, self.calls.keys, call)

    def insist(self, call: Call[T]) -> T:
        """Send a call, however long the server is away."""
        answer: T = self._ensure_retryable(self.send, call)
        return answer

    def exception_safe_to_retry(self, exc: Exception) -> bool:
        """Wait for a server that is away, and for one that will not write now: what a task did is not lost for that."""
        return unavailable(exc) or bool(super().exception_safe_to_retry(exc))

    # -- write ----------------------------------------------------------------------------------------------------

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        state: str = states.SUCCESS,
    ) -> None:
        """End a task in success; without its result, where its caller wants none."""
        ignored = not store_result or bool(request is not None and request.ignore_result)
        if ignored and not _eager(request):
            self.store_result(task_id, None, state, request=request, ignored=True)
        super().mark_as_done(task_id, result, request, store_result=store_result, state=state)

    def mark_as_failure(
        self,
        task_id: str,
        exc: Any,
        traceback: str | None = None,
        request: Any = None,
        store_result: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        **options: Any,
    ) -> None:
        """End a task in failure. A record says so even where the caller ignores results."""
        super().mark_as_failure(task_id, exc, traceback, request, store_result or not _eager(request), **options)

    def mark_as_revoked(
        self,
        task_id: str,
        reason: str = "",
        request: Any = None,
        store_result: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        state: str = states.REVOKED,
    ) -> None:
        """End a cancelled task, even where the caller ignores results."""
        super().mark_as_revoked(task_id, reason, request, store_result or not _eager(request), state)

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        *,
        ignored: bool = False,
        **_: Any,
    ) -> Any:
        attempt = current_attempt(task_id)
        known = State(state) if state in _KEPT else State.PROGRESS
        fields, data = ({}, "null") if ignored else self._fields(known, state, result, traceback, attempt)
        extras = self._extras(request)
        if extras:
            fields["celery"] = self.encode(extras)
        verb = _VERBS.get(known)
        if attempt is not None and verb is not None:
            event = "progress" if known is State.PROGRESS else "state"
            moved = self.send(
                self.calls.move(verb, task_id, attempt=attempt.number, event=event, data=data, fields=fields)
            )
            outcome = "moved" if moved.applied else moved.outcome
        else:
            number = attempt.number if attempt else None
            lifetime = int(self.expires or 86_400)
            outcome = self.send(
                self.calls.settle(
                    task_id, known, attempt=number, lifetime=lifetime, data=data, fields=fields, entry=_entry(request)
                )
            )
        if outcome not in ("moved", "repeated", "retried"):
            logger.warning("News of task %s was dropped (%s): %s", task_id, outcome, state)
        return result

    def _fields(
        self, known: State, state: str, result: Any, traceback: str | None, attempt: Attempt | None
    ) -> tuple[dict[str, Word], str]:
        """Return what the record is to hold, and the event's data."""
        if known is State.SUCCESS:
            if attempt is not None and attempt.encoded is not None:
                return {"result": attempt.encoded}, "null"
            return {"result": self.encode(result)}, "null"
        if known in (State.FAILURE, State.RETRY, State.REVOKED):
            failure = attempt.failure if attempt else None
            if failure is None:
                failure = failure_of(self.exception_to_python(result) or Exception(state), kind_of(result), traceback)
            data = json.dumps({"kind": failure.kind, "type": failure.type, "message": failure.message})
            kept: dict[str, Word] = {"exception": self.encode(result)}
            if known is not State.REVOKED:
                kept["failure"] = failure.model_dump_json(exclude_none=True)
            if traceback:
                kept["traceback"] = traceback
            return kept, data
        if known is State.PROGRESS:
            report = _progress(result)
            kept = {"label": state, "custom": self.encode(result)}
            if report is not None:
                kept["progress"] = report.model_dump_json()
            return kept, report.model_dump_json() if report else json.dumps({"label": state})
        return {"custom": self.encode(result)}, "null"

    def _extras(self, request: Any) -> dict[str, Any]:
        """Return what Celery's metadata holds beside state and result, where there is any."""
        extras: dict[str, Any] = {}
        children = self.current_task_children(request)
        if children:
            extras["children"] = children
        if self.app.conf.find_value_for_key("extended", "result") and request:
            meta = self._get_result_meta(None, "", None, request)
            extras.update({key: value for key, value in meta.items() if key not in _OWN})
        return extras

    def _set(self, key: str, value: Any, expires: int | None = None) -> None:
        """Keep a group's or chord's own data; what Celery calls here for it is deprecated in the driver."""
        with self.client.pipeline() as pipe:
            pipe.set(key, value, ex=expires or self.expires or None)
            pipe.publish(key, value)
            pipe.execute()

    # -- read -----------------------------------------------------------------------------------------------------

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        record = self.send(self.calls.record(str(task_id)))
        if record is None:
            return {"status": states.PENDING, "result": None}
        return self._meta(record)

    def _meta(self, record: Record) -> dict[str, Any]:
        state = record.state
        finished = record.moment("finished")
        meta: dict[str, Any] = {
            # Celery knows no SCHEDULED: to its callers, what waits for its time is as pending as any other.
            "status": states.PENDING if state is State.SCHEDULED else str(state),
            "result": None, "traceback": None, "children": [],
            "date_done": finished.astimezone(UTC).isoformat() if finished else None, "task_id": record.task_id,
        }  # fmt: skip
        for key in ("group_id", "parent_id"):
            if record.text(key):
                meta[key] = record.text(key)
        if record.fields.get("celery"):
            meta.update(self.decode(record.fields["celery"]))
        if state is State.SUCCESS and record.fields.get("result"):
            meta["result"] = self.decode(record.fields["result"])
        elif state in (State.FAILURE, State.RETRY, State.REVOKED):
            failure = record.failure if state is State.FAILURE else None
            if failure is not None and failure.kind is FailureKind.EXPIRED:
                # What Celery's own callers expect of a task that did not start in time.
                meta["status"], meta["result"] = states.REVOKED, _revoked("expired")
            else:
                meta["result"] = self._exception(record)
                meta["traceback"] = record.text("traceback")
        elif record.fields.get("custom"):
            meta["status"] = record.text("label") or str(state)
            meta["result"] = self.decode(record.fields["custom"])
        decoded: dict[str, Any] = self.meta_from_decoded(meta)
        return decoded

    def _exception(self, record: Record) -> Any:
        """Return the exception as Celery encodes it; the ledger's own scripts leave only the failure."""
        kept = self.decode(record.fields["exception"]) if record.fields.get("exception") else None
        if record.state is State.REVOKED:
            # A retry before the cancel may have left its own.
            named = isinstance(kept, dict) and kept.get("exc_type") == TaskRevokedError.__name__
            return kept if named else _revoked("cancelled")
        if kept is not None:
            return kept
        failure = record.failure
        message = f"{failure.type}: {failure.message}" if failure else "failed"
        return {"exc_type": "TaskFailedError", "exc_message": [message], "exc_module": "backyard.core.errors"}

    def decode_result(self, payload: Any) -> Any:
        """Read what a task's channel or :meth:`mget` brought."""
        if isinstance(payload, dict):
            return payload
        if payload[:12] == b'{"event_id":':
            return self._get_task_meta_for(read_published(payload).task_id)
        return super().decode_result(payload)

    def mget(self, keys: Iterable[bytes]) -> list[dict[str, Any] | None]:
        """Read the metadata of several records at once."""
        asked = [self.calls.record(ensure_bytes(key).decode().partition(":task:")[2]) for key in keys]
        with self.client.pipeline(transaction=False) as pipe:
            for call in asked:
                pipe.execute_command(*call.words)
            answers = pipe.execute()
        records = [call.read(answer) for call, answer in zip(asked, answers, strict=True)]
        return [None if record is None else self._meta(record) for record in records]

    def task_result_exists(self, task_id: str) -> bool:
        """Whether the task ended and its result is still kept."""
        record = self.send(self.calls.record(str(task_id)))
        return record is not None and record.state in states.READY_STATES

    def _forget(self, task_id: str) -> None:
        """Delete the record of a task that is over; one that is not needs it to run."""
        if self.task_result_exists(task_id):
            self.send(self.calls.forget(str(task_id)))


_OWN = frozenset({"status", "result", "traceback", "children", "date_done", "group_id", "parent_id", "task_id"})


def kind_of(error: Any) -> FailureKind:
    """Return the sort of failure that an exception, or Celery's encoding of one, stands for."""
    name = error.get("exc_type") if isinstance(error, dict) else type(error).__name__
    if name in (SoftTimeLimitExceeded.__name__, TimeLimitExceeded.__name__):
        return FailureKind.TIMEOUT
    if name == WorkerLostError.__name__:
        return FailureKind.WORKER_LOST
    if name == InvalidResultError.__name__:
        return FailureKind.INVALID_RESULT
    return FailureKind.ERROR


def _eager(request: Any) -> bool:
    """Whether the task runs in its caller's process, with no record."""
    return bool(getattr(request, "is_eager", False))


def _entry(request: Any) -> str:
    """Return the queue entry that a request was delivered with, if it is one of ours."""
    entry = getattr(request, "entry", None)
    return entry if isinstance(entry, str) else ""


def _revoked(reason: str) -> dict[str, Any]:
    return {"exc_type": TaskRevokedError.__name__, "exc_message": [reason], "exc_module": TaskRevokedError.__module__}


def _progress(meta: Any) -> Progress | None:
    """Read the habit of Celery's users: ``update_state(state="PROGRESS", meta={"current": 3, "total": 10})``."""
    if not isinstance(meta, dict) or not isinstance(meta.get("current"), int | float):
        return None
    total = meta.get("total")
    message = meta.get("message") or meta.get("status")
    return Progress.of(
        meta["current"], total if isinstance(total, int | float) else None, str(message) if message else None
    )
