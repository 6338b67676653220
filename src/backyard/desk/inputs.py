"""Inputs that come from outside, checked at the door."""

from __future__ import annotations

from backyard.core.definition import Definition
from backyard.core.errors import InvalidInputError
from backyard.core.rerun import kept_input
from backyard.ledger.record import Record


def parse_input(definition: Definition, text: str | bytes, *place: str | int) -> bytes:
    """Check an input, and return it as it is kept.

    Args:
        definition: What it is for.
        text: The input as it came.
        place: Where the input stands in the body, for the errors.

    Raises:
        InvalidInputError: It does not fit.
    """
    try:
        return definition.encode(definition.parse(text))
    except InvalidInputError as error:
        for row in error.errors:
            row["location"] = [*place, *row["location"]]
        raise


def rerun_input(definition: Definition, record: Record, edited: str | bytes | None = None) -> bytes:
    """Return the input of a rerun.

    Args:
        definition: The task's definition.
        record: The task.
        edited: Another input as JSON text, with the masks of its secrets where they stay; None takes the task's own.

    Raises:
        InvalidInputError: It does not fit.
    """
    kept = kept_input(definition, record.fields.get("input"))
    return parse_input(definition, kept if edited is None else definition.restore(edited, kept), "input")
