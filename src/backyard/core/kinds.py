"""Exception classes as options: checked where they are declared, and shown by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import PlainSerializer, WithJsonSchema

#: The key of a mapping by exception for what it does not name.
DEFAULT = "default"


def name_of(kind: type[BaseException]) -> str:
    """Return the name that an exception class goes by: with its module, where it is not Python's own."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


#: An exception class; by its name where it is shown.
Kind = Annotated[
    type[Exception],
    PlainSerializer(lambda kind: name_of(kind) if isinstance(kind, type) else kind, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "description": "An exception's name"}),
]


def closest(chosen: Mapping[Any, float], kinds: Iterable[type[BaseException]]) -> float | None:
    """Return what a mapping says of an error: by the closest of its classes, else by ``default``, else None.

    Args:
        chosen: Values by exception class.
        kinds: What the error is, and what else it counts as.
    """
    for kind in kinds:
        for ancestor in kind.__mro__:
            if ancestor in chosen:
                return chosen[ancestor]
    return chosen.get(DEFAULT)
