"""The limits that a task is under, as its worker tells them to the ledger: from the narrowest to the widest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from backyard.core.definition import Definition
from backyard.core.errors import InvalidInputError
from backyard.core.limits import key_of, read_rate, value_at
from backyard.ledger.limit_calls import Limit

#: The name of the limit that all tasks of a yard share.
EVERYWHERE = "running"


def limits_of(
    definition: Definition | None, args: tuple[Any, ...], kwargs: Mapping[str, Any], max_running: int | None
) -> list[Limit]:
    """Return what a task is under.

    The order is the one in which the ledger takes slots: whoever waits for a wide limit may hold a narrow one, which
    none but tasks that wait for the wide one as well could use.

    Args:
        definition: What it is a task of; None is a plain Celery task.
        args: The message's arguments.
        kwargs: Its keyword arguments.
        max_running: Tasks that the yard may run at once; None is any number.
    """
    found = [] if definition is None else _of_policy(definition, args, kwargs)
    if max_running is not None:
        found.append(Limit(EVERYWHERE, max_running))
    return found


def _of_policy(definition: Definition, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Limit]:
    policy, name = definition.policy, definition.name
    found = []
    if policy.concurrency_key is not None:
        try:
            value = value_at(definition.shape, _input(definition, args, kwargs), policy.concurrency_key)
        except (InvalidInputError, ValueError):
            pass  # the attempt will fail for it, in no time
        else:
            found.append(Limit(f"key:{name}:{key_of(value)}", policy.concurrency_per_key))
    if policy.concurrency is not None:
        found.append(Limit(f"definition:{name}", policy.concurrency))
    if policy.rate is not None:
        rate = read_rate(policy.rate)
        found.append(Limit(f"rate:{name}", rate.burst, rate.interval * 1000))
    return found


def _input(definition: Definition, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    values = {**dict(zip(definition.shape.names, args, strict=False)), **kwargs}
    return definition.parse(to_json(values, bytes_mode="base64"))
