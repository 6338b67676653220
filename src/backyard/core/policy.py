"""How a definition's tasks are to be run: queue, time, retries, priority, lifetimes."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator

from backyard.core.errors import DefinitionError
from backyard.core.kinds import Kind, closest
from backyard.core.models import Lane

#: A number of starts in a second, minute or hour, and how many of them may come at once.
RATE = r"(?P<number>[1-9][0-9]{0,8})/(?P<unit>[smh])(?: burst (?P<burst>[1-9][0-9]{0,5}))?"
MOST = 1_000_000
NAME = r"^[A-Za-z_][A-Za-z0-9_.-]{0,127}$"

Wait = Annotated[float, Field(ge=0, le=86_400)]
#: Which of the two is meant is seen at once, so that an error speaks of that one alone.
Backoff = Annotated[
    Annotated[Wait, Tag("number")] | Annotated[dict[Kind | Literal["default"], Wait], Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, Mapping) else "number"),
]
_Kept = Annotated[float, Field(ge=60, le=100 * 365 * 86_400)]
Keep = Annotated[
    Annotated[_Kept, Tag("number")] | Annotated[dict[Literal["SUCCESS", "FAILURE", "REVOKED"], _Kept], Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, Mapping) else "number"),
]
Window = Annotated[float, Field(gt=0, le=365 * 86_400)]


class Policy(BaseModel):
    """The options of ``@yard.task``.

    Args:
        queue: Queue the tasks wait in.
        timeout: Seconds an attempt may run; None is without limit.
        retries: Further attempts after a failed first one.
        retry_on: Exceptions after which there is another attempt; a time limit counts as ``TimeoutError`` as well.
        give_up_on: Exceptions after which there is none, though ``retry_on`` has them.
        backoff: Seconds before the first retry; each further one waits twice as long. By exception, where it is a
            mapping: ``{TimeoutError: 30, "default": 1}``; of several classes that fit, the closest counts.
        backoff_max: Longest wait before a retry, in seconds.
        jitter: Whether a wait is drawn from the upper half of its length, so that not all come back at once.
        priority: Tasks of a higher priority are taken first.
        expires: Seconds, from when a task is due, after which it ends as FAILURE ``expired`` if it has not started; one
            that waits for another attempt then ends as well.
        result_expires: Seconds a final task's record is kept in the ledger; None is the yard's setting.
        concurrency: Tasks of this definition that run at once, over all workers; None is any number.
        concurrency_key: Input field to count by, such as ``customer_id`` or ``order.customer_id``.
        concurrency_per_key: Tasks with the same value there that run at once.
        rate: Starts over all workers, such as ``100/m`` (``s``, ``m`` or ``h``), or ``100/m burst 20`` where as many
            may come at once; without a burst as many as come in a second.
        unique: A submit gives an earlier task like it back: ``until_start`` while that has not started, ``until_done``
            while it is not final, a number of seconds for as long, unless it failed or was cancelled.
        unique_key: Input fields that make two tasks alike; None is the whole input.
        crash_limit: Times in a row the task's own process may die under it; None is the yard's setting.
        loss_limit: Times in a row its whole worker may die under it; None is the yard's setting.
        keep: Seconds the history keeps a final task; by state where it is a mapping: ``{"FAILURE": 90 * 86400}``. None
            is the yard's settings.
        webhook: URL that is told when one of its tasks ends; see :mod:`backyard.core.webhooks`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: str = Field(default="default", pattern=NAME)
    timeout: float | None = Field(default=None, gt=0, le=30 * 86_400)
    retries: int = Field(default=0, ge=0, le=1_000)
    retry_on: tuple[Kind, ...] = Field(default_factory=lambda: (Exception,))
    give_up_on: tuple[Kind, ...] = ()
    backoff: Backoff = 1.0
    backoff_max: float = Field(default=600.0, ge=0, le=30 * 86_400)
    jitter: bool = True
    priority: Lane = "normal"
    expires: float | None = Field(default=None, gt=0, le=365 * 86_400)
    result_expires: int | None = Field(default=None, ge=1, le=10 * 365 * 86_400)
    concurrency: int | None = Field(default=None, ge=1, le=MOST)
    concurrency_key: str | None = Field(default=None, min_length=1, max_length=255)
    concurrency_per_key: int = Field(default=1, ge=1, le=MOST)
    rate: str | None = None
    unique: Literal["until_start", "until_done"] | Window | None = None
    unique_key: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=20)
    crash_limit: int | None = Field(default=None, ge=1, le=1_000)
    loss_limit: int | None = Field(default=None, ge=1, le=1_000)
    keep: Keep | None = None
    webhook: str | None = None

    @field_validator("retry_on", "give_up_on", mode="before")
    @classmethod
    def _one_class_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, type) else value

    @field_validator("rate")
    @classmethod
    def _check_rate(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(RATE, value):
            raise ValueError("write a number and a unit: '10/s', '100/m' or '1000/h burst 20'")
        return value

    @field_validator("unique_key", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @classmethod
    def declared(cls, name: str, options: dict[str, Any]) -> Policy:
        """Check the options of a declaration.

        Args:
            name: The definition's name, for the message.
            options: What was given to ``@yard.task``.

        Raises:
            DefinitionError: An option is unknown or out of bounds.
        """
        known = list(cls.model_fields)
        for option in options:
            if option not in known:
                close = difflib.get_close_matches(option, known, n=1)
                hint = f"Did you mean '{close[0]}'?" if close else f"The options are {', '.join(known)}."
                raise DefinitionError(f"@yard.task of '{name}' has no option '{option}'. {hint}")
        try:
            return cls(**options)
        except ValidationError as error:
            rows = "; ".join(f"{row['loc'][0]}={row['input']!r}: {row['msg']}" for row in error.errors())
            raise DefinitionError(f"@yard.task of '{name}' has options that cannot work: {rows}.") from None

    def kept(self, state: str) -> float | None:
        """Return the seconds that the history keeps a task which ended in a state; None is the yard's setting."""
        return self.keep.get(state) if isinstance(self.keep, Mapping) else self.keep  # type: ignore[call-overload]

    def retries_after(self, kinds: Iterable[type[BaseException]]) -> bool:
        """Say whether an error is one to try again after.

        Args:
            kinds: What the error is, and what else it counts as.
        """
        found = tuple(kinds)
        wanted = any(issubclass(kind, self.retry_on) for kind in found)
        return wanted and not any(issubclass(kind, self.give_up_on) for kind in found)

    def wait_before_retry(self, attempt: int, kinds: Iterable[type[BaseException]] = ()) -> float:
        """Return the seconds to wait after a failed attempt: exponential, capped, with jitter over the upper half.

        Args:
            attempt: The number of the attempt that failed, from 1; those that only put the task off are not counted.
            kinds: What its error is, and what else it counts as.

        Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("equal jitter").
        """
        chosen = closest(self.backoff, kinds) if isinstance(self.backoff, Mapping) else self.backoff
        ceiling = min(self.backoff_max, (1.0 if chosen is None else chosen) * 2.0 ** min(attempt - 1, 62))
        if not self.jitter:
            return ceiling
        return ceiling / 2 + random.uniform(0, ceiling / 2)  # noqa: S311 - jitter is no secret
