"""What a submit may say beside its input, as a part of a form."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from starlette.datastructures import FormData

from backyard.console.forms.drawing import Drawn
from backyard.console.forms.filling import Filler
from backyard.console.forms.placing import place_errors
from backyard.console.forms.reading import Command, Reader
from backyard.console.forms.schema import MISSING, Part, schema_of
from backyard.console.forms.writing import Writer
from backyard.core.definition import invalid_input
from backyard.core.errors import InvalidInputError
from backyard.core.models import Lane
from backyard.submit import LONGEST_DELAY, LONGEST_KEY, LONGEST_TAG, MOST_TAGS, Options

#: What the names of its controls begin with.
PREFIX = "options"
_TASK_ID = f"{PREFIX}~task-id"

Tag = Annotated[str, Field(min_length=1, max_length=LONGEST_TAG)]


class _Wanted(BaseModel):
    delay: float | None = Field(
        default=None, ge=0, le=LONGEST_DELAY, description="Seconds to wait before it is queued", title="Delay (seconds)"
    )
    at: AwareDatetime | None = Field(default=None, description="Or the time to queue it at", title="At")
    priority: Lane | None = Field(default=None, description="None is the definition's")
    expires: float | None = Field(
        default=None, gt=0, le=LONGEST_DELAY, title="Expires (seconds)",
        description="Once it has been due for so long, it starts no more",
    )  # fmt: skip
    idempotency_key: str | None = Field(
        default=None, min_length=1, max_length=LONGEST_KEY, title="Idempotency key",
        description="A second submit with the same key gives the first task back",
    )  # fmt: skip
    tags: list[Tag] = Field(default=[], max_length=MOST_TAGS, description="Words to find the task by")


class OptionsForm(Drawn):
    """The options of a submit as a part of a form.

    Args:
        data: What was sent; None begins anew.
    """

    def __init__(self, data: FormData | None = None) -> None:
        part = Part.of(schema_of(_Wanted), schema_of(_Wanted))
        if data is None:
            super().__init__(Filler().fill(part, MISSING, PREFIX, ""), PREFIX)
            command = ""
        else:
            command = str(data.get(f"{PREFIX}~do", ""))
            reader = Reader(data, Command.read(command))
            super().__init__(reader.read(part, PREFIX, ""), PREFIX)
            self.changed = reader.changed
        #: Whether a button within it was pressed, and nothing is to be done but to show the form again.
        self.redraw = bool(command)
        #: The id of a submit whose fate is not known: sent again with it, it makes one task.
        self.task_id = "" if data is None else str(data.get(_TASK_ID, ""))[:128]

    def options(self) -> Options:
        """Return what was chosen.

        Raises:
            InvalidInputError: It cannot be.
        """
        writer = Writer()
        text = writer.write(self.root) or "{}"
        if writer.errors:
            raise InvalidInputError("Some options cannot be read.", writer.errors)
        try:
            wanted = _Wanted.model_validate_json(text)
        except ValidationError as error:
            raise invalid_input("the options", error) from None
        if wanted.delay is not None and wanted.at is not None:
            message = "Give a delay or a time, not both"
            raise InvalidInputError(message, [{"location": ["at"], "message": message, "type": "form"}])
        return Options(
            delay=wanted.delay, at=wanted.at and wanted.at.astimezone(UTC), priority=wanted.priority,
            expires=wanted.expires, tags=tuple(wanted.tags), idempotency_key=wanted.idempotency_key,
            task_id=self.task_id or None,
        ).checked()  # fmt: skip

    def refuse(self, error: InvalidInputError) -> None:
        """Put what is wrong to the fields that it belongs to."""
        self.wrong = place_errors(self.root, error.errors)

    @property
    def used(self) -> bool:
        """Whether anything was chosen, so that it has to be seen."""
        return bool(self.wrong or self.redraw) or any(
            field.text and field.text != "null" for field in self.root.under()
        )
