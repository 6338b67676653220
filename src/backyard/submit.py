"""Submits: a definition's input and options, turned into what the ledger accepts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from uuid_utils import uuid7

from backyard.core.definition import Definition
from backyard.core.errors import IdempotencyConflictError, InvalidInputError
from backyard.core.models import Lane
from backyard.core.policy import NAME, Policy
from backyard.engine.current import lineage
from backyard.engine.message import compose
from backyard.engine.task import GRACE
from backyard.ledger.call import Word
from backyard.ledger.keys import PRIORITY
from backyard.ledger.line import BATCH
from backyard.ledger.submission import Accepted, Submission
from backyard.settings import Settings

T = TypeVar("T")
A = TypeVar("A")

#: Stands between the key of a batch and the number of a task. No key of a single submit is like it, for a header
#: cannot hold it.
BETWEEN = "\0"
#: Tasks that an event loop composes without a pause: some milliseconds, as the server takes to accept them.
TOGETHER = BATCH
#: Parts of a batch that may be on their way beside the next one: the server has what to do while an answer is read.
AHEAD = 3
LONGEST_DELAY = 10 * 365 * 86_400
MOST_TAGS = 20
LONGEST_TAG = 100
LONGEST_KEY = 255
#: Ids go into keys, URLs and folder names.
TASK_ID = r"[A-Za-z0-9_.:-]{1,128}"
#: Times nearer to the ends of the calendar cannot be turned into UTC.
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Options:
    """What one submit may say beside its input.

    Args:
        delay: Seconds to wait before the task is queued.
        at: Time to queue it at; needs a time zone.
        priority: Instead of the definition's.
        queue: Instead of the definition's.
        expires: Seconds, from when the task is due, after which it does not start any more; instead of the
            definition's.
        tags: Words to find the task by.
        idempotency_key: A second submit with the same key gives the first task back.
        task_id: The task's id, if the caller has made one, so that repeating an unsure submit makes one task.
        rerun_of: The task this one repeats.
        schedule: The schedule that it is a tick of.
        webhook: URL that is told when the task ends; instead of the definition's.
    """

    delay: float | None = None
    at: datetime | None = None
    priority: Lane | None = None
    queue: str | None = None
    expires: float | None = None
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None
    task_id: str | None = None
    rerun_of: str | None = None
    schedule: str | None = None
    webhook: str | None = None

    def checked(self) -> Options:
        """Return the options, or say what is wrong with them.

        Raises:
            InvalidInputError: One of them cannot work.
        """
        if self.delay is not None and self.at is not None:
            raise InvalidInputError("Give delay or at, not both.")
        if self.delay is not None and not 0 <= self.delay <= LONGEST_DELAY:
            raise InvalidInputError(f"delay is {self.delay} s; it can be 0 to {LONGEST_DELAY} s.")
        if self.at is not None and self.at.tzinfo is None:
            raise InvalidInputError("at has no time zone. Write 2026-01-31T12:00:00+00:00, say.")
        if self.at is not None and not _FIRST <= self.at <= _LAST:
            raise InvalidInputError(f"at is {self.at.isoformat()}; it can be from {_FIRST.year} to {_LAST.year}.")
        self._check_names()
        if self.expires is not None and not 0 < self.expires <= LONGEST_DELAY:
            raise InvalidInputError(f"expires is {self.expires} s; it can be more than 0, up to {LONGEST_DELAY} s.")
        if len(self.tags) > MOST_TAGS or any(not 0 < len(tag) <= LONGEST_TAG for tag in self.tags):
            raise InvalidInputError(f"A task can have {MOST_TAGS} tags of 1 to {LONGEST_TAG} characters.")
        if self.idempotency_key is not None and not 0 < len(self.idempotency_key) <= LONGEST_KEY:
            raise InvalidInputError(f"An Idempotency-Key has 1 to {LONGEST_KEY} characters.")
        return self

    def _check_names(self) -> None:
        if self.priority is not None and self.priority not in PRIORITY:
            raise InvalidInputError(f"priority is '{self.priority}'; it can be {', '.join(PRIORITY)}.")
        for option, value, pattern in (("queue", self.queue, NAME), ("task_id", self.task_id, TASK_ID)):
            if value is not None and not re.fullmatch(pattern, value):
                raise InvalidInputError(f"{option} is '{value}'; use up to 128 letters, digits, '_', '-' and '.'.")

    def having(self, **changes: Any) -> Options:
        """Return the same options with some changed.

        Raises:
            InvalidInputError: One of them is unknown or cannot work.
        """
        unknown = set(changes) - set(self.__dataclass_fields__)
        if unknown:
            known = ", ".join(self.__dataclass_fields__)
            raise InvalidInputError(f"A submit has no option '{min(unknown)}'. The options are: {known}.")
        if "tags" in changes:
            changes["tags"] = tuple(changes["tags"])
        return replace(self, **changes).checked()


def submission(
    definition: Definition,
    payload: bytes,
    options: Options,
    settings: Settings,
    more: int | None = 0,
    *,
    task_id: str | None = None,
    once: tuple[str, str] | None = None,
) -> Submission:
    """Build what the ledger accepts.

    Args:
        definition: What it is a task of.
        payload: The checked input as JSON text.
        options: What this submit says beside it.
        settings: The yard's settings.
        more: Tasks that come with it in later calls; None where there was an earlier one, which has found room for all.
        task_id: Its id, instead of the options'.
        once: What repeating it is known by, and must agree with, instead of the options' Idempotency-Key and its input.
    """
    policy = definition.policy
    task_id = task_id or options.task_id or str(uuid7())
    if once is None and options.idempotency_key is not None:
        once = options.idempotency_key, _fingerprint(definition.name.encode(), payload)
    queue = options.queue or policy.queue
    lane = options.priority or policy.priority
    family = lineage(task_id)
    limits = (None, None) if policy.timeout is None else (policy.timeout + GRACE, policy.timeout)
    expires = options.expires or policy.expires
    return Submission(
        task_id=task_id,
        name=definition.name,
        queue=queue,
        lane=lane,
        message=compose(task_id, definition.name, payload, queue=queue, lane=lane, timelimit=limits, family=family),
        lifetime=policy.result_expires or settings.result_expires,
        due=_due(options),
        expires=f">{int(expires * 1000)}" if expires else "",
        once=once[0] if once else "",
        fingerprint=once[1] if once else "",
        once_lifetime=settings.idempotency_expires,
        unique=definition.unique(definition.parse(payload), payload) if policy.unique else "",
        window=definition.unique_window,
        # What a task submits is never refused: it could not go on.
        most=None if family or more is None else settings.most_queued(queue),
        more=more or 0,
        fields={"input": payload, **family, **_fields(options, policy, settings)},
    )


def _fields(options: Options, policy: Policy, settings: Settings) -> dict[str, Word]:
    """Return what the record holds of the options."""
    fields: dict[str, Word] = {}
    if options.tags:
        fields["tags"] = json.dumps(options.tags)
    if options.rerun_of:
        fields["rerun_of"] = options.rerun_of
    if options.schedule:
        fields["schedule"] = options.schedule
    if (webhook := _webhook(options, policy, settings)) is not None:
        fields["webhook"] = webhook
    return fields


def agreed(ready: Submission, accepted: Accepted) -> Accepted:
    """Return the answer to a submission, unless its Idempotency-Key was used for something else.

    Raises:
        IdempotencyConflictError: It was.
    """
    if accepted.outcome == "conflict":
        key = ready.once.partition(BETWEEN)[0]
        raise IdempotencyConflictError(
            f"The Idempotency-Key '{key}' made task {accepted.task_id} of another input. Use a new key."
        )
    return accepted


def _fingerprint(*parts: bytes) -> str:
    """Return what a second use of an Idempotency-Key must agree with."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _webhook(options: Options, policy: Policy, settings: Settings) -> str | None:
    """Return who is told when the task ends. A definition's URL was checked when it was declared.

    Raises:
        InvalidInputError: The submit's own URL cannot be told.
    """
    if options.webhook is None:
        return policy.webhook
    try:
        return settings.checked_webhook(options.webhook)
    except ValueError as error:
        message = f"The webhook '{options.webhook[:100]}' cannot be told: {error}."
        raise InvalidInputError(message, [{"location": ["webhook"], "message": message, "type": "webhook"}]) from None


def _due(options: Options) -> str:
    if options.at is not None:
        return str(int(options.at.astimezone(UTC).timestamp() * 1000))
    return f"+{int(options.delay * 1000)}" if options.delay else ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Many tasks of one definition.

    Args:
        definition: What they are tasks of.
        payloads: The checked inputs as JSON text.
        options: What all of them say beside their input; an idempotency key is one for the batch.
        task_ids: Their ids, in the order of the inputs.
    """

    definition: Definition
    payloads: Sequence[bytes]
    options: Options
    task_ids: Sequence[str]

    @classmethod
    def of(cls, definition: Definition, payloads: Sequence[bytes], options: Options, task_ids: Sequence[str]) -> Batch:
        """Make a batch, and ids where there are none.

        Raises:
            InvalidInputError: There are ids, and not one of its own for each input.
        """
        if options.task_id is not None:
            raise InvalidInputError("One task_id cannot be that of many tasks: give task_ids, one for each input.")
        if task_ids and (len(task_ids) != len(payloads) or len(set(task_ids)) != len(payloads)):
            raise InvalidInputError(f"There are {len(payloads)} inputs: give as many task_ids, each of them once.")
        for task_id in task_ids:
            options.having(task_id=task_id)
        return cls(definition, payloads, options, task_ids or [str(uuid7()) for _ in payloads])

    def parts(self, settings: Settings) -> Iterator[list[Submission]]:
        """Compose the tasks a part at a time, so that an event loop is free in between.

        Where the batch has a key, its first task goes alone: if that key made another batch, nothing else is sent.

        Args:
            settings: The yard's settings.
        """
        key, print_ = self.options.idempotency_key, ""
        if key is not None:
            lengths = ",".join(str(len(payload)) for payload in self.payloads).encode()
            print_ = _fingerprint(self.definition.name.encode(), lengths, *self.payloads)
        start, end = 0, TOGETHER if key is None else 1
        while start < len(self.payloads):
            # All or nothing: the first part finds room for all.
            more = None if start else max(len(self.payloads) - end, 0)
            yield [
                submission(
                    self.definition, self.payloads[number], self.options, settings, more, task_id=self.task_ids[number],
                    once=None if key is None else (f"{key}{BETWEEN}{number}", print_),
                )
                for number in range(start, min(end, len(self.payloads)))
            ]  # fmt: skip
            start, end = end, end + TOGETHER


async def in_turns(
    parts: Iterable[T], send: Callable[[T], Coroutine[Any, Any, A]], take: Callable[[T, A], None]
) -> None:
    """Send parts in their order, and make each one ready while some before it are under way; the first goes alone.

    Args:
        parts: What is to be sent.
        send: Sends a part; when it fails, nothing more is sent.
        take: Gets each part with the answer to it.
    """
    under_way: deque[tuple[T, asyncio.Task[A]]] = deque()
    try:
        for number, part in enumerate(parts):
            under_way.append((part, asyncio.create_task(send(part))))
            while len(under_way) > (AHEAD if number else 0):
                first, answer = under_way.popleft()
                take(first, await answer)
            await asyncio.sleep(0)
        for last, answer in under_way:
            take(last, await answer)
    finally:
        for _, answer in under_way:
            answer.cancel()
        await asyncio.gather(*(answer for _, answer in under_way), return_exceptions=True)
