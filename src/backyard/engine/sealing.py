"""Seals the secrets in messages that Celery composes: in arguments, and in the canvas that travels with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery.utils.saferepr import saferepr

from backyard.core.definition import Definition
from backyard.core.errors import InvalidInputError
from backyard.core.secrets import masked

#: Where a message has the signatures that follow it, and how many arguments each is given by the one before.
_EMBEDDED = {"callbacks": 1, "errbacks": None, "chain": 1, "chord": 1}
#: Celery's own tasks, whose arguments are those of another, many times.
_MANY = frozenset({"celery.map", "celery.starmap", "celery.chunks"})


def seal_message(app: Any, name: str, message: Any, longest: int) -> Any:
    """Return a message with its secrets sealed, and masked in what Celery shows of its arguments.

    Args:
        app: The yard's Celery app.
        name: The task it is for.
        message: Celery's ``task_message``, not encoded yet.
        longest: Characters of the arguments that Celery shows.

    Raises:
        InvalidInputError: There is a secret that cannot be sealed where it stands.
    """
    if not any(_definition(app, task) for task in app.tasks):
        return message
    args, kwargs, embedded = message.body
    first = _sealed(app, {"task": name, "args": args, "kwargs": kwargs, "immutable": True}, None)
    body = (
        first["args"],
        first["kwargs"],
        {word: _sealed(app, part, _EMBEDDED.get(word)) for word, part in embedded.items()},
    )
    shown = {"argsrepr": masked(first["args"]), "kwargsrepr": masked(first["kwargs"])}
    changed = {word: saferepr(value, longest) for word, value in shown.items() if value != first[word[:-4]]}
    message.headers.update(changed)
    if message.sent_event:
        message.sent_event.update({word[:-4]: text for word, text in changed.items()})
    return message._replace(body=body)


def _sealed(app: Any, value: Any, given: int | None) -> Any:
    """Return a value with the secrets of all signatures in it sealed.

    Args:
        app: The yard's Celery app.
        value: A signature, or anything that may hold some.
        given: Arguments that each signature is given before its own; None is not known.
    """
    if isinstance(value, Mapping):
        if isinstance(value.get("task"), str) and "kwargs" in value:
            return _sealed_signature(app, value, given)
        # An errback may be given one argument, or three.
        return {key: _sealed(app, one, None if key == "link_error" else given) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_sealed(app, one, given) for one in value]
    return value


def _sealed_signature(app: Any, value: Mapping[str, Any], given: int | None) -> dict[str, Any]:
    found = dict(value)
    definition = _definition(app, value["task"])
    if definition is not None:
        found.update(_arguments(definition, value, 0 if value.get("immutable") else given))
    elif value["task"] in _MANY:
        _refuse_many(app, value)
    else:
        found["args"] = _sealed(app, list(value.get("args") or ()), given)
        found["kwargs"] = _sealed(app, dict(value.get("kwargs") or {}), given)
    if value.get("options"):
        found["options"] = _sealed(app, value["options"], 1)  # what is linked to it gets its result
    return found


def _arguments(definition: Definition, signature: Mapping[str, Any], given: int | None) -> dict[str, Any]:
    args, kwargs = list(signature.get("args") or ()), dict(signature.get("kwargs") or {})
    if args and given is None:
        raise InvalidInputError(
            f"A signature of {definition.name} has arguments by position, and nobody can tell yet which of them is the "
            f"secret. Give them by name: {definition.name}.s({', '.join(definition.shape.names)}=...)."
        )
    names = definition.shape.names[given or 0 :]
    placed = definition.seal(dict(zip(names, args, strict=False)))
    return {"args": [*placed.values(), *args[len(placed) :]], "kwargs": definition.seal(kwargs)}


def _definition(app: Any, name: str) -> Definition | None:
    """Return a task's definition, where its inputs hold secrets."""
    definition: Definition | None = getattr(app.tasks.get(name), "yard_definition", None)
    return definition if definition is not None and definition.shape.places is not None else None


def _refuse_many(app: Any, value: Mapping[str, Any]) -> None:
    inner = (value.get("kwargs") or {}).get("task") or {}
    definition = _definition(app, str(inner.get("task", ""))) if isinstance(inner, Mapping) else None
    if definition is not None:
        raise InvalidInputError(
            f"{definition.name} takes a secret, and map, starmap and chunks send arguments in the open. Use a group or "
            "submit_many."
        )
