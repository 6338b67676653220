"""From filled in fields to the JSON text that is checked."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from backyard.console.forms.attributes import options_of
from backyard.console.forms.field import Field
from backyard.console.forms.schema import NEVER_EMPTY, Kind
from backyard.console.forms.texts import NUMBER, duration_value, json_line, moment_value, why_not_json


class Writer:
    """Writes fields as JSON, and notes what cannot be."""

    def __init__(self) -> None:
        #: What is wrong, as :class:`~backyard.core.errors.InvalidInputError` has it.
        self.errors: list[dict[str, Any]] = []

    def write(  # noqa: PLR0911 - one answer for each kind
        self, field: Field, location: tuple[str | int, ...] = ()
    ) -> str | None:
        """Return the JSON text of a field; None where it has no value.

        Args:
            field: The field.
            location: Where it is.
        """
        if field.presence != "value":
            return "null" if field.presence == "null" else None
        match field.kind:
            case Kind.OBJECT:
                return self._object(field, location)
            case Kind.LIST:
                rows = [self.write(one, (*location, number)) for number, one in enumerate(field.children)]
                return f"[{','.join('null' if row is None else row for row in rows)}]"
            case Kind.MAP:
                return self._map(field, location)
            case Kind.VARIANTS:
                return self.write(field.children[0], location) if field.children else None
            case Kind.JSON:
                return self._json(field.text, location)
            case _:
                text = _scalar(field)
                return "null" if text is None and field.part.presences == ("value", "null") else text

    def _object(self, field: Field, location: tuple[str | int, ...]) -> str:
        members = {str(one.step): self.write(one, (*location, one.step)) for one in field.children}
        pairs = [f"{json_line(name)}:{text}" for name, text in members.items() if text is not None]
        if field.more.strip():
            more = self._json(field.more, location)
            value = from_json(more) if more is not None else {}
            if not isinstance(value, dict):
                self._note(location, "Write the further members as a JSON object, {} around them")
            elif value.keys() & members.keys():
                self._note(location, f"There is a field for '{min(value.keys() & members.keys())}' above")
            else:
                pairs += [f"{json_line(name)}:{json_line(one)}" for name, one in value.items()]
        return f"{{{','.join(pairs)}}}"

    def _map(self, field: Field, location: tuple[str | int, ...]) -> str:
        pairs: dict[str, str] = {}
        for row in field.children:
            key = row.key or ""
            text = self.write(row, (*location, key))
            if not key:
                self._note((*location, key, "[key]"), "Give the row a key, or take it out")
            elif key in pairs:
                self._note((*location, key, "[key]"), f"The key '{key}' is there twice")
            pairs[key] = "null" if text is None else text
        return f"{{{','.join(f'{json_line(key)}:{text}' for key, text in pairs.items())}}}"

    def _json(self, text: str, location: tuple[str | int, ...]) -> str | None:
        if not text.strip():
            return None
        wrong = why_not_json(text)
        if not wrong:
            return text
        self._note(location, f"This is not JSON: {wrong}")
        return "null"

    def _note(self, location: tuple[str | int, ...], message: str) -> None:
        self.errors.append({"location": list(location), "message": message, "type": "form"})


def _scalar(field: Field) -> str | None:  # noqa: PLR0911 - one answer for each kind
    """Return the JSON text of what a control holds; None where it holds nothing."""
    part, text = field.part, field.text
    match field.kind:
        case Kind.FIXED:
            return json_line(part.node.get("const"))
        case Kind.FLAG:
            return text
        case Kind.CHOICE:
            known = any(text == option for option, _ in options_of(part))
            return None if not text else text if known else json_line(text)
        case Kind.NUMBER:
            bare = text.strip()
            plain = NUMBER.fullmatch(bare) and part.format != "decimal"
            return None if not bare else bare if plain else json_line(bare)
        case Kind.SECRET:
            return _secret(field)
        case Kind.MOMENT:
            return json_line(moment_value(text, field.zone)) if text.strip() else None
        case Kind.FILE:
            return json_line(text.strip()) if text.strip() else None
        case _:
            value = text.strip() if part.format in NEVER_EMPTY else text
            if not value and (part.format in NEVER_EMPTY or not (part.may_be_empty or part.presences == ("value",))):
                return None
            return json_line(duration_value(value) if part.format == "duration" else value)


def _secret(field: Field) -> str | None:
    kind = field.part.node.get("type")
    if not field.text:
        return None
    # Numbers and lists under Secret[...] are JSON; the mask of one is a text.
    return field.text if kind != "string" and not why_not_json(field.text) else json_line(field.text)
