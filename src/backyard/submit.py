"""Submits: a definition's input and options, turned into what the ledger accepts."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from uuid_utils import uuid7

from backyard.core.definition import Definition
from backyard.core.errors import InvalidInputError
from backyard.core.models import Lane
from backyard.core.policy import NAME
from backyard.engine.message import compose
from backyard.engine.task import GRACE
from backyard.ledger.call import Word
from backyard.ledger.keys import PRIORITY
from backyard.ledger.submission import Submission
from backyard.settings import Settings

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
        expires: Seconds after which the task does not start any more; instead of the definition's.
        tags: Words to find the task by.
        idempotency_key: A second submit with the same key gives the first task back.
        task_id: The task's id, if the caller has made one, so that repeating an unsure submit makes one task.
        rerun_of: The task this one repeats.
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


def submission(definition: Definition, payload: bytes, options: Options, settings: Settings) -> Submission:
    """Build what the ledger accepts.

    Args:
        definition: What it is a task of.
        payload: The checked input as JSON text.
        options: What this submit says beside it.
        settings: The yard's settings.
    """
    policy = definition.policy
    task_id = options.task_id or str(uuid7())
    queue = options.queue or policy.queue
    lane = options.priority or policy.priority
    fields: dict[str, Word] = {"input": payload}
    if options.tags:
        fields["tags"] = json.dumps(options.tags)
    if options.rerun_of:
        fields["rerun_of"] = options.rerun_of
    limits = (None, None) if policy.timeout is None else (policy.timeout + GRACE, policy.timeout)
    expires = options.expires or policy.expires
    return Submission(
        task_id=task_id,
        name=definition.name,
        queue=queue,
        lane=lane,
        message=compose(task_id, definition.name, payload, queue=queue, lane=lane, timelimit=limits),
        lifetime=policy.result_expires or settings.result_expires,
        due=_due(options),
        expires=f"+{int(expires * 1000)}" if expires else "",
        once=options.idempotency_key or "",
        fingerprint=hashlib.sha256(definition.name.encode() + b"\0" + payload).hexdigest()[:32],
        once_lifetime=settings.idempotency_expires,
        fields=fields,
    )


def _due(options: Options) -> str:
    if options.at is not None:
        return str(int(options.at.astimezone(UTC).timestamp() * 1000))
    return f"+{int(options.delay * 1000)}" if options.delay else ""
