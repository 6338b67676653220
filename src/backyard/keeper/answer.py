"""What comes of a message sent by HTTP. Apart from who sends it: most keepers never do, and the client takes 3 MB."""

from __future__ import annotations

from dataclasses import dataclass


class PostError(Exception):
    """A message that had no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered.

    Args:
        status: The HTTP status.
        text: How the body begins.
    """

    status: int
    text: str
