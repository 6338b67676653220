"""The form of a definition's input: what other pages use of this package.

A page that shows the form, and takes it back::

    form = InputForm.of(definition)                     # or InputForm.of(definition, value) to begin with an input
    return page.show("…/form.html", form=form)

    form = await received(page, definition)             # from backyard.console.forms.receiving
    if form.redraw:                                     # a button within the form: a row more, another variant
        return page.show("…/form.html", form=form)
    try:
        payload = parse_input(definition, form.text())
    except InvalidInputError as error:
        form.refuse(error)
        return page.show("…/form.html", error.status, form=form)

Its template, which also needs ``<script src=".../{{ asset('forms.js') }}" defer>`` in the block ``scripts``::

    {% import "forms/fields.html" as forms with context %}
    <form method="post" action="…" {{ forms.attributes(form) }}>
      {{ forms.fields(form) }}
      <button>Run</button>
    </form>

The names of its own controls must not begin with ``input``. A button of the page that is to send the form unchecked,
and get it back as it is, has ``formnovalidate``, and the page's handler looks for it before ``form.text()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import from_json
from starlette.datastructures import FormData

from backyard.console.forms.drawing import Drawn
from backyard.console.forms.field import Field
from backyard.console.forms.filling import Filler
from backyard.console.forms.placing import Wrong, place_errors
from backyard.console.forms.reading import Command, Reader
from backyard.console.forms.schema import MISSING, Kind, Part, schema_of
from backyard.console.forms.texts import json_text, lines_of, why_not_json
from backyard.console.forms.uploads import stored
from backyard.console.forms.writing import Writer
from backyard.core.errors import BackyardError, InvalidInputError
from backyard.core.secrets import MASK, masked

if TYPE_CHECKING:
    from backyard.core.definition import Definition
    from backyard.files import Files

#: What the names of the form's own controls begin with.
ROOT = "input"
#: The control by which a button within the form says what it is for.
_COMMAND = f"{ROOT}~do"
_MODE = f"{ROOT}~mode"
_TEXT = f"{ROOT}~text"


class InputForm(Drawn):
    """A definition's input as a form.

    Args:
        definition: The definition.
        root: The whole input.
    """

    def __init__(self, definition: Definition, root: Field) -> None:
        super().__init__(root, ROOT)
        self.definition = definition
        #: Whether the whole input is asked for as JSON text, and that text.
        self.as_json = False
        self.json = ""
        #: Whether a button within the form was pressed, and nothing is to be done but to show the form again.
        self.redraw = False
        self._unstored = False

    @classmethod
    def of(cls, definition: Definition, value: Any = MISSING, errors: InvalidInputError | None = None) -> InputForm:
        """Return the form, filled in.

        Args:
            definition: The definition.
            value: The input as plain JSON values, secrets masked; MISSING takes the definition's example, or the
                defaults.
            errors: What is wrong with it.
        """
        part = input_of(definition)
        form = cls(definition, Filler().fill(part, _beginning(definition) if value is MISSING else value, ROOT, ""))
        if form.root.as_json:
            form.as_json, form.json, form.root.as_json = True, form.root.text, False
        if errors is not None:
            form.refuse(errors)
        return form

    @classmethod
    def sent(cls, definition: Definition, data: FormData) -> InputForm:
        """Return the form as it was sent. Files are not stored yet: see :meth:`store`.

        Args:
            definition: The definition.
            data: What was sent; controls that the form has not are not looked at.

        Raises:
            TooLargeError: There are more rows or fields than a form may have.
        """
        command = str(data.get(_COMMAND, ""))
        if data.get(_MODE) == "json":
            form = cls._sent_as_json(definition, lines_of(str(data.get(_TEXT, ""))), command)
        else:
            reader = Reader(data, Command.read(command))
            form = cls(definition, reader.read(input_of(definition), ROOT, ""))
            form.changed = reader.changed
            if command == "json":
                form._turn_into_json()
        form.redraw = bool(command)
        return form

    @classmethod
    def _sent_as_json(cls, definition: Definition, text: str, command: str) -> InputForm:
        form = cls.of(definition, {})
        form.as_json, form.json = True, text
        if command == "fields":
            wrong = why_not_json(text or "{}")
            if wrong:
                form.wrong = [Wrong(f"This is not JSON: {wrong}", "", _TEXT)]
            else:
                form = cls.of(definition, from_json(text or "{}"))
        return form

    def _turn_into_json(self) -> None:
        writer = Writer()
        text = writer.write(self.root) or "{}"
        if writer.errors:
            self.wrong = place_errors(self.root, writer.errors)
        else:
            self.as_json, self.json = True, json_text(from_json(text))

    async def store(self, files: Files, limit: int) -> None:
        """Store the files that were sent with it; what cannot be stored is noted at its field.

        Args:
            files: Where to.
            limit: Bytes that each of them may have.
        """
        for field in self.root.under():
            if field.upload is None:
                continue
            try:
                kept = await stored(files, field.upload, limit)
            except BackyardError as error:
                field.wrong.append(error.message)
                self._unstored = True
            else:
                field.text, field.file_name = kept.id, kept.name
            field.upload = None

    def text(self) -> str:
        """Return the input as JSON text, to be checked by the definition.

        Raises:
            InvalidInputError: A part cannot be written as JSON, or a file could not be stored.
        """
        if self.as_json:
            text = self.json.strip() or "{}"
            wrong = why_not_json(text)
            if wrong:
                raise InvalidInputError(f"This is not JSON: {wrong}.")
            return text
        writer = Writer()
        written = writer.write(self.root)
        if writer.errors or self._unstored:
            raise InvalidInputError("Some fields cannot be read.", writer.errors)
        return written or "{}"

    def refuse(self, error: InvalidInputError, *place: str | int) -> None:
        """Put what is wrong to the fields that it belongs to.

        Args:
            error: What is wrong.
            place: What the locations of its errors begin with, before the input.
        """
        rows = [
            {**row, "location": row["location"][len(place) * (tuple(row["location"][: len(place)]) == place) :]}
            for row in error.errors
        ]
        if self.as_json:
            self.wrong = [
                Wrong(str(row["message"]), ".".join(str(step) for step in row["location"]), _TEXT) for row in rows
            ]
        else:
            self.wrong = place_errors(self.root, rows)
        if not self.wrong:
            self.wrong = [Wrong(error.message, "", _TEXT if self.as_json else "")]

    @property
    def multipart(self) -> bool:
        """Whether the form may have files."""
        return any(part.kind is Kind.FILE for part in self.root.part.under())

    @property
    def secret(self) -> bool:
        """Whether the input has secrets, which must not stand in a URL."""
        return self.definition.shape.places is not None


def input_of(definition: Definition) -> Part:
    """Return what a definition asks for.

    Args:
        definition: The definition.
    """
    schema = schema_of(definition.input_model)
    return Part.of(schema, schema)


def _beginning(definition: Definition) -> Any:
    """Return what a form of a definition begins with: its example, whose secrets are left to be filled in."""
    if definition.example is None:
        return MISSING
    value = masked(from_json(definition.encode(definition.bind((), definition.example))))
    return _without_masks(value)


def _without_masks(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_masks(one) for key, one in value.items() if one != MASK}
    if isinstance(value, list):
        return [_without_masks(one) for one in value]
    return value
