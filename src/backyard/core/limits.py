"""What a policy's limits mean for an input: rates as numbers, fields by their dotted paths."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from backyard.core.errors import DefinitionError
from backyard.core.policy import RATE, Policy
from backyard.core.secret_places import disclosed
from backyard.core.signature import Shape
from backyard.core.vault import Vault

SECONDS = {"s": 1, "m": 60, "h": 3_600}
#: Values that stand in a limit's name as they are; others as their hash.
_PLAIN = r"[A-Za-z0-9_.@-]{1,64}"


@dataclass(frozen=True, slots=True)
class Rate:
    """How often tasks may start.

    Args:
        interval: Seconds between two starts, on average.
        burst: Starts that may come at once after a while without any.
    """

    interval: float
    burst: int


def read_rate(text: str) -> Rate:
    """Read a rate as ``@yard.task`` takes it: ``100/m`` or ``100/m burst 20``.

    Without a burst it is what comes in a second, and at least one: workers look for waiting tasks a few times a second.
    """
    found = re.fullmatch(RATE, text)
    if found is None:
        raise ValueError(text)
    number, unit, burst = int(found["number"]), SECONDS[found["unit"]], found["burst"]
    return Rate(unit / number, int(burst) if burst else max(1, math.ceil(number / unit)))


def check_limits(name: str, policy: Policy, shape: Shape) -> None:
    """Refuse limits that cannot work with the input.

    Args:
        name: The definition's name.
        policy: Its policy.
        shape: What its signature says.

    Raises:
        DefinitionError: An option is there without the one it belongs to, or names a field that the input has not.
    """
    if policy.concurrency_key is None and "concurrency_per_key" in policy.model_fields_set:
        raise DefinitionError(
            f"@yard.task of '{name}' has concurrency_per_key without concurrency_key. "
            "Name the parameter to count by: concurrency_key='customer_id'."
        )
    if policy.unique is None and policy.unique_key is not None:
        raise DefinitionError(
            f"@yard.task of '{name}' has unique_key without unique. Add unique='until_start', 'until_done' or seconds."
        )
    for option, paths in (("concurrency_key", (policy.concurrency_key,)), ("unique_key", policy.unique_key or ())):
        for path in paths:
            if path is not None:
                _check_path(name, option, path, shape)
    key = policy.concurrency_key
    if key is not None and shape.places is not None and shape.places.touches(key.split(".")):
        raise DefinitionError(
            f"@yard.task of '{name}' has concurrency_key='{key}', which is a secret: the names of limits are shown. "
            "Count by something else, such as the id of the account that the secret belongs to."
        )


def _check_path(name: str, option: str, path: str, shape: Shape) -> None:
    first, *rest = path.split(".")
    fields = dict(shape.fields)
    if first not in fields:
        raise DefinitionError(
            f"@yard.task of '{name}' has {option}='{path}', and no parameter '{first}'. "
            f"Its parameters are: {', '.join(fields) or 'none'}."
        )
    kind = shape.input_model.model_fields[fields[first]].annotation
    for part in rest:
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            if kind in (int, float, str, bool, bytes):
                raise DefinitionError(
                    f"@yard.task of '{name}' has {option}='{path}', and what stands before '{part}' is no model. "
                    "End the path there."
                )
            return
        if part not in kind.model_fields:
            raise DefinitionError(
                f"@yard.task of '{name}' has {option}='{path}', and {kind.__name__} has no field '{part}'. "
                f"Its fields are: {', '.join(kind.model_fields) or 'none'}."
            )
        kind = kind.model_fields[part].annotation


def value_at(shape: Shape, model: BaseModel, path: str) -> Any:
    """Return what an input has at a dotted path; None where it has nothing there.

    Args:
        shape: What the signature says.
        model: The checked input.
        path: A parameter, and then fields of models or keys of mappings.
    """
    first, *rest = path.split(".")
    value: Any = getattr(model, dict(shape.fields)[first])
    for part in rest:
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return value


def key_of(value: Any) -> str:
    """Return a value as a part of a limit's name: short ones as they are, others as their hash."""
    text = value if isinstance(value, str) else to_json(value).decode()
    return text if re.fullmatch(_PLAIN, text) else "~" + digest(text.encode())


def unique_digest(
    shape: Shape, model: BaseModel, paths: Sequence[str] | None, payload: bytes, vault: Vault | None = None
) -> str:
    """Return what inputs that count as the same have in common.

    Args:
        shape: What the signature says.
        model: The checked input.
        paths: The fields that count; None is all of them.
        payload: The input as JSON text, its secrets sealed.
        vault: The yard's keys: the mere hash of a secret could be guessed from.
    """
    if paths is None:
        return digest(payload)
    values = [value_at(shape, model, path) for path in paths]
    if shape.places is None or vault is None:
        return digest(to_json(values, bytes_mode="base64"))
    return digest(vault.seal(to_json(disclosed(values), bytes_mode="base64"), "unique").encode())


def digest(text: bytes) -> str:
    """Return a hash that is short enough for a key and long enough never to meet another's."""
    return hashlib.sha256(text).hexdigest()[:32]
