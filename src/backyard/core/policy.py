"""How a definition's tasks are to be run: queue, time, retries, priority, lifetimes."""

from __future__ import annotations

import difflib
import random
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backyard.core.errors import DefinitionError
from backyard.core.models import Lane

NAME = r"^[A-Za-z_][A-Za-z0-9_.-]{0,127}$"


class Policy(BaseModel):
    """The options of ``@yard.task``.

    Args:
        queue: Queue the tasks wait in.
        timeout: Seconds an attempt may run; None is without limit.
        retries: Further attempts after a failed first one.
        backoff: Seconds before the first retry; each further one waits twice as long.
        backoff_max: Longest wait before a retry, in seconds.
        priority: Tasks of a higher priority are taken first.
        expires: Seconds after which a task that has not started ends as FAILURE ``expired``.
        result_expires: Seconds a final task's record is kept in the ledger; None is the yard's setting.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: str = Field(default="default", pattern=NAME)
    timeout: float | None = Field(default=None, gt=0, le=30 * 86_400)
    retries: int = Field(default=0, ge=0, le=1_000)
    backoff: float = Field(default=1.0, ge=0, le=86_400)
    backoff_max: float = Field(default=600.0, ge=0, le=30 * 86_400)
    priority: Lane = "normal"
    expires: float | None = Field(default=None, gt=0, le=365 * 86_400)
    result_expires: int | None = Field(default=None, ge=1, le=10 * 365 * 86_400)

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

    def wait_before_retry(self, attempt: int) -> float:
        """Return the seconds to wait after a failed attempt: exponential, capped, with full jitter over the upper half.

        Args:
            attempt: The number of the attempt that failed, from 1.

        Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("equal jitter").
        """
        ceiling = min(self.backoff_max, self.backoff * 2.0 ** min(attempt - 1, 62))
        return ceiling / 2 + random.uniform(0, ceiling / 2)  # noqa: S311 - jitter is no secret
