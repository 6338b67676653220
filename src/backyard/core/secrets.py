"""Secrets: how they are sealed, and how they are kept out of what people see."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

#: What people see in place of a secret; pydantic's own, so that all secrets look alike.
MASK = "**********"
#: A sealed value, as it stands in records and messages: format, key and ciphertext. A cut one counts as well.
SEALED = re.compile(r"sealed:1:([0-9a-f]{8}):([A-Za-z0-9_-]*)")
#: Shorter ones are not taken out of texts: they would take much else with them.
SHORTEST = 4


def masked(value: Any) -> Any:
    """Return JSON values, or a text, with each sealed value as the mask.

    Args:
        value: A text, or JSON as plain values.
    """
    if isinstance(value, str):
        return SEALED.sub(MASK, value) if "sealed:1:" in value else value
    if isinstance(value, dict):
        return {key: masked(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [masked(one) for one in value]
    return value


def scrub(text: str, secrets: Sequence[str]) -> str:
    """Return a text with the mask in place of each secret.

    Args:
        text: What a task said: a log line, a message, a traceback.
        secrets: What must not be seen, the longest first; see :func:`spellings`.
    """
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    return text


def scrubbed(value: Any, secrets: Sequence[str]) -> Any:
    """Return JSON values with the mask in place of each secret in their texts, keys included.

    Args:
        value: JSON as plain values.
        secrets: As for :func:`scrub`.
    """
    if not secrets:
        return value
    if isinstance(value, str):
        return scrub(value, secrets)
    if isinstance(value, dict):
        return {scrubbed(key, secrets): scrubbed(one, secrets) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(one, secrets) for one in value]
    return value


def spellings(values: Iterable[Any]) -> tuple[str, ...]:
    """Return the texts that would give secrets away: each as it is, as Python, JSON and a URL write it.

    Args:
        values: The secrets as JSON values; those in lists and objects count one by one.
    """
    found: set[str] = set()
    for text in _texts(values):
        found |= {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        found |= {quote(text), quote(text, safe="")}
    return tuple(sorted((text for text in found if len(text) >= SHORTEST), key=len, reverse=True))


def _texts(values: Any) -> Iterable[str]:
    if isinstance(values, str):
        yield values
        yield from (line for line in values.splitlines() if line != values)
    elif isinstance(values, dict):
        for value in values.values():
            yield from _texts(value)
    elif isinstance(values, Iterable):
        for value in values:
            yield from _texts(value)
    elif isinstance(values, int | float) and not isinstance(values, bool):
        yield str(values)
