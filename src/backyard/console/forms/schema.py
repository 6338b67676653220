"""What a JSON schema asks for, place by place, as a form can ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, Final

from pydantic import BaseModel

from backyard.core.secret_schema import MarkingSchema, is_secret


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


#: There is no value; None is one.
MISSING: Final = _Missing()
_DEFINITIONS = "#/$defs/"
#: Texts for which nothing typed means no value; any other text may be empty.
NEVER_EMPTY: Final = frozenset({
    "date", "time", "date-time", "duration", "email", "uri", "uuid", "uuid1", "uuid3", "uuid4", "uuid5", "uuid6",
    "uuid7", "uuid8", "ipv4", "ipv6", "ipvanyaddress", "ipv4network", "ipv6network", "hostname", "decimal",
})  # fmt: skip


class Kind(StrEnum):
    """How a form asks for a value."""

    OBJECT = "object"
    LIST = "list"
    MAP = "map"
    VARIANTS = "variants"
    CHOICE = "choice"
    FLAG = "flag"
    NUMBER = "number"
    TEXT = "text"
    MOMENT = "moment"
    FILE = "file"
    SECRET = "secret"  # noqa: S105 - the name of a kind
    FIXED = "fixed"
    JSON = "json"


#: Those that consist of others.
COMPOSITE: Final = frozenset({Kind.OBJECT, Kind.LIST, Kind.MAP, Kind.VARIANTS})


class FormSchema(MarkingSchema):
    """Writes JSON schemas in which decimals are known from texts: their digits are kept by writing them as text."""

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Mark a decimal."""
        branches = super().decimal_schema(schema).get("anyOf", ())
        bounds: dict[str, Any] = next((one for one in branches if one.get("type") == "number"), {})
        return {**bounds, "type": "string", "format": "decimal"}


@lru_cache(maxsize=512)
def schema_of(model: type[BaseModel]) -> Mapping[str, Any]:
    """Return the schema by which a model's form is made."""
    return model.model_json_schema(schema_generator=FormSchema)


@dataclass(frozen=True)
class Part:
    """What a schema says of one place of the input.

    Args:
        root: The whole schema.
        node: What it says of the place, references followed, None taken out.
        nullable: Whether the value may be None.
        required: Whether the value has to be there.
        references: The definitions that were followed to come here.
    """

    root: Mapping[str, Any]
    node: Mapping[str, Any]
    nullable: bool
    required: bool
    references: frozenset[str]

    @classmethod
    def of(cls, root: Mapping[str, Any], node: Any, *, required: bool = True) -> Part:
        """Return what a node of a schema says.

        Args:
            root: The whole schema.
            node: The node: an object, or true, which allows anything.
            required: Whether the value has to be there.
        """
        found: dict[str, Any] = dict(node) if isinstance(node, Mapping) else {}
        nullable, followed = False, set[str]()
        while True:
            reference = str(found.get("$ref", ""))
            if reference.startswith(_DEFINITIONS) and reference not in followed:
                followed.add(reference)
                del found["$ref"]
                found = {**root["$defs"][reference.removeprefix(_DEFINITIONS)], **found}
            elif len(found.get("allOf", ())) == 1:
                found = {**found.pop("allOf")[0], **found}
            elif "anyOf" in found:
                branches = [one for one in found["anyOf"] if one.get("type") != "null"]
                nullable = nullable or len(branches) < len(found["anyOf"])
                if len(branches) != 1:
                    found["anyOf"] = branches
                    break
                del found["anyOf"]
                found = {**branches[0], **found}
            else:
                break
        return cls(root, found, nullable, required, frozenset(followed))

    @cached_property
    def kind(self) -> Kind:
        """How a form asks for it."""
        node = self.node
        if is_secret(node):
            return Kind.SECRET
        if "const" in node:
            return Kind.FIXED
        if "enum" in node or (node.get("type") == "boolean" and len(self.presences) > 1):
            return Kind.CHOICE
        if self.branches:
            return Kind.VARIANTS
        by_type = {
            "boolean": Kind.FLAG, "integer": Kind.NUMBER, "number": Kind.NUMBER, "string": self._text_kind,
            "array": Kind.LIST if self._has_items else Kind.JSON, "object": self._object_kind, "null": Kind.FIXED,
        }  # fmt: skip
        return by_type.get(str(node.get("type", "")), Kind.JSON)

    @property
    def _text_kind(self) -> Kind:
        return {"date-time": Kind.MOMENT, "backyard-file": Kind.FILE, "decimal": Kind.NUMBER}.get(
            self.format, Kind.TEXT
        )

    @property
    def _has_items(self) -> bool:
        return "prefixItems" in self.node or isinstance(self.node.get("items"), Mapping)

    @property
    def _object_kind(self) -> Kind:
        if "properties" in self.node or self.node.get("additionalProperties") is False:
            return Kind.OBJECT
        return Kind.MAP if self.value_node is not None else Kind.JSON

    @property
    def presences(self) -> tuple[str, ...]:
        """What may stand there: ``value`` always; ``null``; ``absent``, where the default is not known."""
        absent = not self.required and self.default is MISSING
        return ("value", *(["null"] * self.nullable), *(["absent"] * absent))

    @property
    def asked(self) -> bool:
        """Whether it has to be asked which of the presences is meant: where an empty field cannot say it."""
        if len(self.presences) == 1 or self.kind in {Kind.CHOICE, Kind.SECRET, Kind.JSON}:
            return False
        return self.kind in COMPOSITE or self.may_be_empty or "absent" in self.presences[2:] or self.kind is Kind.FIXED

    @property
    def may_be_empty(self) -> bool:
        """Whether an empty text is a value."""
        return self.kind is Kind.TEXT and self.format not in NEVER_EMPTY and not self.node.get("minLength")

    @property
    def format(self) -> str:
        """The format of a text; empty where it may be any."""
        return str(self.node.get("format", ""))

    @property
    def integer(self) -> bool:
        """Whether a number is a whole one."""
        return self.node.get("type") == "integer"

    @property
    def default(self) -> Any:
        """The value that is taken where there is none; MISSING where that is not known."""
        return self.node.get("default", MISSING)

    @property
    def title(self) -> str:
        """What the schema calls it; for a reference, the model's name."""
        return str(self.node.get("title", ""))

    @property
    def description(self) -> str:
        """What the schema says about it."""
        return str(self.node.get("description", ""))

    # -- what it consists of ----------------------------------------------------------------------------------------

    @cached_property
    def members(self) -> dict[str, Part]:
        """The members of an object, by name."""
        needed = self.node.get("required", ())
        return {
            name: Part.of(self.root, node, required=name in needed)
            for name, node in self.node.get("properties", {}).items()
        }

    @cached_property
    def labels(self) -> dict[str, str]:
        """What people call the members of an object, by name."""
        return {name: _label(name, node) for name, node in self.node.get("properties", {}).items()}

    @property
    def open(self) -> bool:
        """Whether an object may have members that the schema does not name."""
        return bool(self.node.get("additionalProperties", False)) and self.kind is Kind.OBJECT

    @property
    def value_node(self) -> Mapping[str, Any] | None:
        """What the schema says of a mapping's values; None where they may be anything."""
        given = [*self.node.get("patternProperties", {}).values(), self.node.get("additionalProperties")]
        return next((one for one in given if isinstance(one, Mapping) and one), None)

    @property
    def value(self) -> Part:
        """A value of a mapping."""
        return Part.of(self.root, self.value_node)

    @property
    def key(self) -> Part:
        """A key of a mapping."""
        pattern = next(iter(self.node.get("patternProperties", {})), None)
        names = self.node.get("propertyNames", {"pattern": pattern} if pattern else {})
        return Part.of(self.root, {"type": "string", **names})

    def item(self, number: int) -> Part:
        """Return an item of a list, counted from 0."""
        first = self.node.get("prefixItems", ())
        return Part.of(self.root, first[number] if number < len(first) else self.node.get("items", True))

    @property
    def least(self) -> int:
        """Items that a list has at least."""
        return max(int(self.node.get("minItems", 0)), min(len(self.node.get("prefixItems", ())), self.most))

    @property
    def most(self) -> int:
        """Items that a list has at most; members of a mapping."""
        first = self.node.get("prefixItems")
        if first is not None and not isinstance(self.node.get("items"), Mapping):
            return min(len(first), int(self.node.get("maxItems", len(first))))
        return int(self.node.get("maxItems", self.node.get("maxProperties", 1_000_000_000)))

    @cached_property
    def branches(self) -> tuple[Part, ...]:
        """What may be chosen from; empty where there is no choice."""
        given = self.node.get("oneOf", self.node.get("anyOf", ()))
        return tuple(Part.of(self.root, one) for one in given)

    @property
    def discriminator(self) -> str:
        """The member of an object that says which branch it is of; empty where none does."""
        return str(self.node.get("discriminator", {}).get("propertyName", ""))

    def under(self) -> Iterator[Part]:
        """Go through the part and what it consists of, each definition once."""
        seen: set[str] = set()
        waiting = [self]
        while waiting:
            one = waiting.pop()
            if one.references & seen:
                continue
            seen |= one.references
            yield one
            waiting += one.branches
            if one.kind is Kind.OBJECT:
                waiting += one.members.values()
            elif one.kind is Kind.LIST:
                waiting += [one.item(number) for number in range(len(one.node.get("prefixItems", ())) + 1)]
            elif one.kind is Kind.MAP:
                waiting.append(one.value)


def _label(name: str, node: Any) -> str:
    plain = name.replace("_", " ").strip()
    title = str(node.get("title", "")) if isinstance(node, Mapping) else ""
    # pydantic makes a title of each name, with all of its words capital.
    return title if title and title != plain.title() else plain[:1].upper() + plain[1:] or name
