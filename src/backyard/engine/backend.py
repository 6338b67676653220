"""The result backend: all of Celery's state changes pass through ``store_result``, and become guarded moves here."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import UTC
from functools import cached_property
from typing import Any, TypeVar

from billiard.exceptions import WorkerLostError
from celery import states
from celery.backends import redis as stock
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded
from kombu.utils.encoding import ensure_bytes

from backyard.core.errors import BackyardError
from backyard.core.failure import failure_of
from backyard.core.models import FailureKind
from backyard.core.secrets import scrubbed
from backyard.core.states import FINAL, State, Verb
from backyard.engine.current import Attempt, current_attempt, settled_later
from backyard.engine.encoded import progress_in, revoked, terminated
from backyard.engine.patience import PatientBackend
from backyard.engine.waiting import Client, ResultConsumer
from backyard.ledger.away import unavailable
from backyard.ledger.call import Call, Word
from backyard.ledger.calls import Calls
from backyard.ledger.events import read_published
from backyard.ledger.keys import Keys
from backyard.ledger.ledger import send
from backyard.ledger.record import Record
from backyard.ledger.task_calls import Moved

logger = logging.getLogger("backyard.backend")

T = TypeVar("T")

_VERBS = {
    State.SUCCESS: Verb.SUCCEED,
    State.FAILURE: Verb.FAIL,
    State.REVOKED: Verb.STOP,
    State.PROGRESS: Verb.PROGRESS,
}
_KEPT = frozenset(State)
WITHOUT_END = 315_360_000  # seconds


class InvalidResultError(BackyardError):
    """What the function returned is not what it declares."""

    code = "invalid_result"
    title = "The result is not of the declared type"


class LedgerBackend(PatientBackend, stock.RedisBackend):
    """Celery's results, kept in the ledger's records. Chords and groups stay as in Celery's Redis backend.

    A plain Celery app, which is no yard, may use it too. It starts no attempts, its expired and ignored tasks look as
    on Celery's own backend, and a result of a task that the ledger has never heard of is kept as a string, as there.
    """

    ResultConsumer = ResultConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options = {**(self.app.conf.broker_transport_options or {}), **self._transport_options}
        self.calls = Calls(Keys(options.get("yard", "celery")), options.get("events_kept", 100_000))
        #: Whether the ledger starts and fences the attempts of the app's tasks.
        self.fenced = bool(options.get("fenced", False))
        prefix = self.calls.keys.prefix
        self._channels = f"{prefix}task:".encode() if self.fenced else b"celery-task-meta-"
        self.task_keyprefix = ensure_bytes(f"{prefix}{'task' if self.fenced else 'meta'}:")
        self.group_keyprefix = ensure_bytes(f"{prefix}group:")
        self.chord_keyprefix = ensure_bytes(f"{prefix}chord:")

    @cached_property
    def _extended(self) -> bool:
        return bool(self.app.conf.find_value_for_key("extended", "result"))

    def _get_client(self) -> type[Client]:
        return Client

    @cached_property
    def ledger_client(self) -> Any:
        """The client for the ledger, which reads bytes whatever Celery's own client was told to read."""
        if not self.connparams.get("decode_responses"):
            return self.client
        return self._create_client(**{**self.connparams, "decode_responses": False})

    def channel_of(self, task_id: str) -> bytes:
        """Return the channel that brings the news of a task: named like the record's key, or as Celery's own."""
        return self._channels + str(task_id).encode()

    def task_of(self, channel: bytes) -> str:
        """Return the task that a channel brings the news of."""
        return channel.removeprefix(self._channels).decode()

    def send(self, call: Call[Any]) -> Any:
        """Send a call with the backend's own client; connection errors pass, for Celery retries them."""
        return send(self.ledger_client, self.calls.keys, call)

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
        """End a cancelled task, even where the caller ignores results.

        What a yard's worker was handed, the ledger knows of: a worker tells the canvas, wherever the task ended, and
        once; see :mod:`backyard.engine.canvas`.
        """
        if self.fenced and _entry(request):
            self.store_result(task_id, TaskRevokedError(reason), state, request=request)
        else:
            super().mark_as_revoked(task_id, reason, request, store_result or not _eager(request), state)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **options: Any) -> None:
        """Count a part of a chord, however long the server will not write: nobody counts it again."""
        self._ensure_retryable(super().on_chord_part_return, request, state, result, **options)

    def mark_as_retry(self, task_id: str, *args: Any, **options: Any) -> Any:
        """Say that a task is tried again, unless that was said in the step that sent it anew."""
        attempt = current_attempt(task_id)
        if attempt is None or attempt.farewell is None:
            super().mark_as_retry(task_id, *args, **options)

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
        kept: dict[str, Word] = {"ignored": 1}
        fields, data = (kept, "null") if ignored else self._fields(known, state, result, traceback, attempt)
        self._add_extras(fields, request)
        verb = _VERBS.get(known)
        if attempt is not None and verb is not None:
            event = "progress" if known is State.PROGRESS else "state"
            call = self.calls.move(verb, task_id, attempt=attempt.number, event=event, data=data, fields=fields)
            if known in FINAL and settled_later(task_id, call):
                return result
            moved = self.send(call)
            outcome = "moved" if moved.applied else moved.outcome
        else:
            number = attempt.number if attempt else None
            outcome = self._settle(task_id, known, number, data, fields, _entry(request))
            if outcome == "unknown":
                return None if ignored else super()._store_result(task_id, result, state, traceback, request=request)
        if outcome not in ("moved", "repeated", "retried"):
            logger.warning("News of task %s was dropped (%s): %s", task_id, outcome, state)
        return result

    def success(self, attempt: Attempt, request: Any) -> Call[Moved]:
        """Return what ends a typed task in success.

        Args:
            attempt: The attempt that has come to a result.
            request: Celery's request.
        """
        fields, data = self._fields(State.SUCCESS, State.SUCCESS, None, None, attempt)
        self._add_extras(fields, request)
        return self.calls.move(Verb.SUCCEED, attempt.task_id, attempt=attempt.number, data=data, fields=fields)

    def _add_extras(self, fields: dict[str, Word], request: Any) -> None:
        if extras := self.extras(request):
            fields["celery"] = self.encode(extras)

    def _settle(
        self, task_id: str, state: State, attempt: int | None, data: str, fields: dict[str, Word], entry: str
    ) -> str:
        lifetime = self._lifetime(state)
        if not self.fenced and state in FINAL:
            fields["lifetime"] = lifetime
        kept = lifetime if self.fenced else None
        return str(self.send(self.calls.settle(
            task_id, state, attempt=attempt, lifetime=kept, data=data, fields=fields, entry=entry
        )))  # fmt: skip

    def _lifetime(self, state: State) -> int:
        """Return the seconds that a record in a final state is kept; without end is ten years."""
        expires = self.failure_expires if state is State.FAILURE else self.expires
        return int(expires or (86_400 if self.fenced else WITHOUT_END))

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
            if known is State.REVOKED and terminated(result):
                kept["killed"] = 1
            if known is not State.REVOKED:
                kept["failure"] = failure.model_dump_json(exclude_none=True)
            if traceback:
                kept["traceback"] = traceback
            return kept, data
        result = scrubbed(result, attempt.secrets if attempt else ())
        if known is State.PROGRESS:
            report = progress_in(result)
            kept = {"label": state, "custom": self.encode(result)}
            if report is not None:
                kept["progress"] = report.model_dump_json()
            return kept, report.model_dump_json() if report else json.dumps({"label": state})
        return {"custom": self.encode(result)}, "null"

    def extras(self, request: Any) -> dict[str, Any]:
        """Return what Celery's metadata holds beside state and result, where there is any."""
        extras: dict[str, Any] = {}
        children = self.current_task_children(request)
        if children:
            extras["children"] = children
        if self._extended and request:
            meta = self._get_result_meta(None, "", None, request)
            extras.update({key: value for key, value in meta.items() if key not in _OWN})
        return extras

    def _set(self, key: bytes, value: Any, expires: int | None = None) -> None:
        """Keep data of Celery's own; what it calls here for that is deprecated in the driver."""
        task = key.startswith(self.task_keyprefix)
        with self.client.pipeline() as pipe:
            pipe.set(key, value, ex=(self.expires if expires is None else expires) or None)
            pipe.publish(self.channel_of(self._task_in(key)) if task else key, value)
            pipe.execute()

    # -- read -----------------------------------------------------------------------------------------------------

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        record = self.send(self.calls.record(str(task_id)))
        if record is not None:
            return self._meta(record)
        if self.fenced:
            return {"status": states.PENDING, "result": None}
        meta: dict[str, Any] = super()._get_task_meta_for(task_id)
        return meta

    def _meta(self, record: Record) -> dict[str, Any]:
        state = record.state
        untold = state is State.RETRY and "exception" not in record.fields  # sent anew, and why comes next
        if not self.fenced and (untold or record.fields.get("ignored")):
            return {"status": states.PENDING, "result": None}
        finished = record.moment("finished")
        meta: dict[str, Any] = {
            # Celery knows no SCHEDULED: to its callers, what waits for its time is as pending as any other.
            "status": states.PENDING if state is State.SCHEDULED else str(state),
            "result": None, "traceback": None, "children": [],
            "date_done": finished.astimezone(UTC).isoformat() if finished else None, "task_id": record.task_id,
        }  # fmt: skip
        meta.update({key: record.text(key) for key in ("group_id", "parent_id") if record.text(key)})
        if record.fields.get("celery"):
            meta.update(self.decode(record.fields["celery"]))
        if state is State.SUCCESS and record.fields.get("result"):
            meta["result"] = self.decode(record.fields["result"])
        elif state in (State.FAILURE, State.RETRY, State.REVOKED):
            failure = record.failure if state is State.FAILURE else None
            if failure is not None and failure.kind is FailureKind.EXPIRED:
                # What Celery's own callers expect of a task that did not start in time.
                meta["status"], meta["result"] = states.REVOKED, revoked("expired")
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
            return kept if named else revoked("cancelled")
        if kept is not None:
            return kept
        failure = record.failure
        message = f"{failure.type}: {failure.message}" if failure else "failed"
        return {"exc_type": "TaskFailedError", "exc_message": [message], "exc_module": "backyard.core.errors"}

    def decode_result(self, payload: Any) -> Any:
        """Read what a task's channel or :meth:`mget` brought."""
        if isinstance(payload, dict):
            return payload
        news = ensure_bytes(payload)
        if news[:12] == b'{"event_id":':
            return self._get_task_meta_for(read_published(news).task_id)
        return super().decode_result(payload)

    def _task_in(self, key: bytes | str) -> str:
        return str(ensure_bytes(key).removeprefix(self.task_keyprefix).decode())

    def mget(self, keys: Iterable[bytes]) -> list[Any]:
        """Read the metadata of several tasks at once."""
        asked = [self.calls.record(self._task_in(key)) for key in keys]
        with self.ledger_client.pipeline(transaction=False) as pipe:
            for call in asked:
                pipe.execute_command(*call.words)
            answers = pipe.execute()
        records = [call.read(answer) for call, answer in zip(asked, answers, strict=True)]
        found = [None if record is None else self._meta(record) for record in records]
        if self.fenced or None not in found:
            return found
        return [meta or kept for meta, kept in zip(found, super().mget(keys), strict=True)]

    def task_result_exists(self, task_id: str) -> bool:
        """Whether the task ended and its result is still kept."""
        record = self.send(self.calls.record(str(task_id)))
        if record is None and not self.fenced:
            return bool(super().task_result_exists(task_id))
        return record is not None and record.state in states.READY_STATES

    def _forget(self, task_id: str) -> None:
        """Delete the record of a task that is over; one that is not needs it to run."""
        if self.task_result_exists(task_id):
            self.send(self.calls.forget(str(task_id)))
        if not self.fenced:
            super()._forget(task_id)


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
