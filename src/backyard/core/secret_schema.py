"""What a JSON schema says of secrets: which of its values are, and what it says of a value's members and items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic.json_schema import GenerateJsonSchema

#: In the schemas of :class:`MarkingSchema`: the value is a secret; it is bytes written as UTF-8, which most are not.
SECRET, BYTES_AS_TEXT = "secret", "secret_bytes_as_text"
_BRANCHES = ("anyOf", "oneOf", "allOf")
_DEFINITIONS = "#/$defs/"
#: Words under which there is no schema, and those under which there are several, by names that may be any.
_VALUES = frozenset({"$defs", "default", "examples", "const", "enum", "required"})
_NAMED = frozenset({"properties", "patternProperties"})


class Node(NamedTuple):
    """A part of a JSON schema.

    Args:
        schema: The whole schema, which has the definitions.
        value: The part.
    """

    schema: Mapping[str, Any]
    value: Mapping[str, Any]

    def at(self, value: Any) -> Node:
        """Return another part of the same schema."""
        return Node(self.schema, value)

    def target(self) -> list[Node]:
        """Return what the part refers to, if it does."""
        reference = str(self.value.get("$ref", ""))
        if not reference.startswith(_DEFINITIONS):
            return []
        return [self.at(self.schema["$defs"][reference.removeprefix(_DEFINITIONS)])]


class MarkingSchema(GenerateJsonSchema):
    """Writes JSON schemas in which each secret is marked, also those of ``Secret[...]``, which look like any other."""

    _as_text = False

    def bytes_schema(self, schema: Any) -> dict[str, Any]:
        """Notice bytes that are written as text."""
        written = super().bytes_schema(schema)
        self._as_text = self._as_text or written.get("format") == "binary"
        return written

    def generate_inner(self, schema: Any) -> dict[str, Any]:
        """Mark what pydantic writes as asterisks."""
        if not _is_secret_type(schema):
            return super().generate_inner(schema)
        before, self._as_text = self._as_text, False
        marked = {**super().generate_inner(schema), SECRET: True}
        # The inner type of SecretStr is text; only its bytes come through here.
        if self._as_text:
            marked[BYTES_AS_TEXT] = True
        self._as_text = before
        return marked


def _is_secret_type(schema: Mapping[str, Any]) -> bool:
    """Whether a core schema is one of pydantic's secrets: known by the function that writes the asterisks."""
    inner: Any = schema.get("lax_schema", schema)
    writes = (inner.get("serialization") or {}).get("function")
    name = f"{getattr(writes, '__module__', '')}.{getattr(writes, '__name__', '')}"
    return name.startswith("pydantic.types._serialize_secret")


def is_secret(node: Mapping[str, Any]) -> bool:
    """Whether a node of a JSON schema says that its value is a secret."""
    return node.get(SECRET) is True or bool(node.get("format") == "password" and node.get("writeOnly"))


def branches(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return nodes with all that they refer to and choose from."""
    found: dict[int, Node] = {}
    waiting = list(nodes)
    while waiting:
        one = waiting.pop()
        if id(one.value) in found:
            continue
        found[id(one.value)] = one
        waiting += one.target()
        waiting += [one.at(branch) for word in _BRANCHES for branch in one.value.get(word, ())]
    return tuple(found.values())


def members(nodes: tuple[Node, ...], key: str) -> tuple[Node, ...]:
    """Return what nodes say of an object's member."""
    found: list[Node] = []
    for one in nodes:
        known = one.value.get("properties", {})
        if key in known:
            found.append(one.at(known[key]))
            continue
        rest = [*one.value.get("patternProperties", {}).values(), one.value.get("additionalProperties")]
        found += [one.at(more) for more in rest if isinstance(more, Mapping)]
    return tuple(found)


def items(nodes: tuple[Node, ...], number: int) -> tuple[Node, ...]:
    """Return what nodes say of a list's item."""
    found: list[Node] = []
    for one in nodes:
        first = one.value.get("prefixItems", ())
        item = first[number] if number < len(first) else one.value.get("items")
        if isinstance(item, Mapping):
            found.append(one.at(item))
    return tuple(found)


def holds_secret(root: Node) -> bool:
    """Whether there is a secret at a node or under it."""
    return any(is_secret(node) for node in under(root))


def under(root: Node) -> Iterator[Mapping[str, Any]]:
    """Go through a node and all that is under it or referred to, each once."""
    seen: set[int] = set()
    waiting: list[Any] = [root.value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | tuple):
            waiting += value
        if not isinstance(value, Mapping) or id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        waiting += [target.value for target in root.at(value).target()]
        for word, part in value.items():
            if word in _NAMED:
                waiting += part.values()
            elif word not in _VALUES:
                waiting.append(part)
