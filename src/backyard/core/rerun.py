"""Reruns: the input of a task that ended, made that of a new one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backyard.core.definition import Definition
from backyard.core.errors import InvalidInputError


def kept_input(definition: Definition, text: str | bytes | None) -> str | bytes:
    """Return the input of a task, with the arguments that Celery's callers gave by position under their names.

    Args:
        definition: What it is a task of.
        text: Its input as JSON text, as it was kept.
    """
    text = text or b"{}"
    try:
        kept = json.loads(text)
    except ValueError:
        return text  # whoever checks it says what is wrong
    if isinstance(kept, dict) and kept.keys() == {"args", "kwargs"} and not {*kept} <= {*definition.shape.names}:
        named = dict(zip(definition.shape.names, kept["args"], strict=False))
        return json.dumps({**named, **kept["kwargs"]})
    return text


def edited_input(definition: Definition, text: str | bytes | None, changes: Mapping[str, Any] | None) -> bytes:
    """Return a task's input with some of its members replaced, checked by today's definition, as it is kept.

    Args:
        definition: What it is a task of.
        text: Its input as JSON text, as it was kept.
        changes: Members that replace those of the same name; None leaves the input as it is.

    Raises:
        InvalidInputError: It does not fit; its errors name the fields.
    """
    kept = kept_input(definition, text)
    if changes is not None:
        try:
            value = json.loads(kept)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise InvalidInputError(f"The input of {definition.name} is no object, and cannot be changed by members.")
        # A mask that is sent back stands for the secret that was there.
        kept = definition.restore(json.dumps({**value, **changes}), kept)
    return definition.encode(definition.parse(kept))
