"""One place of a form, filled in: what its controls hold, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.datastructures import UploadFile

from backyard.console.forms.schema import Kind, Part

#: Rows of one list that a form shows; a longer list is asked for as JSON.
MOST_ROWS = 200
#: Fields that a form shows and takes.
MOST_FIELDS = 5_000
#: Models within models that a form shows as fields; what lies deeper is asked for as JSON.
MOST_DEPTH = 16


@dataclass(slots=True)
class Field:
    """One place of a form.

    Args:
        part: What the schema says of it.
        name: The name of its control; what belongs to it begins with that name.
        label: What people call it.
        step: Its name or number within what it belongs to, as the places of errors have it.
        presence: ``value``, ``null`` or ``absent``.
        as_json: Whether it is asked for as JSON text, though the schema says more.
        text: What its control holds.
        zone: The time zone of a moment; None where the text has it.
        key: The key of a mapping's row.
        more: The members of an object that the schema does not name, as JSON text.
        branch: Which of the variants is chosen; None where none is.
        children: What it consists of; of variants, the chosen one.
        upload: A file that was sent and is not stored yet.
        file_name: What the stored file is called, where that is known.
        wrong: What is wrong with it.
    """

    part: Part
    name: str
    label: str
    step: str | int = ""
    presence: str = "value"
    as_json: bool = False
    text: str = ""
    zone: str | None = None
    key: str | None = None
    more: str = ""
    branch: int | None = None
    children: list[Field] = field(default_factory=list)
    upload: UploadFile | None = None
    file_name: str = ""
    wrong: list[str] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        """How it is asked for."""
        return Kind.JSON if self.as_json else self.part.kind

    @property
    def drawn(self) -> str:
        """What of it the page showed, so that the next reading knows what was not there to be filled in."""
        if self.kind is Kind.VARIANTS:
            return "" if self.branch is None else str(self.branch)
        return self.presence

    @property
    def growing(self) -> bool:
        """Whether it may have one row more."""
        return len(self.children) < min(self.part.most, MOST_ROWS)

    @property
    def shrinking(self) -> bool:
        """Whether a row may be taken out."""
        return len(self.children) > (self.part.least if self.kind is Kind.LIST else 0)

    def child(self, step: str | int) -> str:
        """Return the name of a place within this one."""
        return f"{self.name}.{spelled(step)}"

    def under(self) -> Iterator[Field]:
        """Go through this place and all within it, in the order of the page."""
        yield self
        for one in self.children:
            yield from one.under()


def spelled(step: str | int) -> str:
    """Return a name as a part of a control's name, which is also its element's id: without blanks, dots and tildes."""
    return quote(str(step), safe="").replace(".", "%2E").replace("~", "%7E")
