"""Where an input holds secrets, read from its JSON schema: sealed and opened there, and nowhere else.

The schema is what the input looks like as JSON, whatever the Python types behind it are: models, dataclasses,
TypedDicts, unions, aliases. Where one branch of a union is a secret, the place counts as secret for all of them; a
sealed value keeps its JSON type, so nothing is lost by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import repeat
from typing import Any

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic.json_schema import JsonSchemaMode
from pydantic_core import from_json, to_json

from backyard.core.secret_schema import MarkingSchema, Node, branches, holds_secret, is_secret, items, members
from backyard.core.secrets import MASK, SEALED
from backyard.core.vault import ClosedError, Vault

#: Pydantic's own types of secrets, which are written as asterisks.
SECRETS = (SecretStr, SecretBytes, Secret)
#: Stands for a value of which only the JSON is known.
_UNKNOWN = object()


class MisplacedSecretError(ValueError):
    """A secret that cannot travel as it is; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An input with its secrets open.

    Args:
        value: The input as plain JSON values.
        changed: Whether any of it was sealed.
        secrets: The secrets as plain JSON values.
    """

    value: Any
    changed: bool
    secrets: list[Any]


class Places:
    """The places of an input that hold secrets.

    Args:
        name: The definition's name; a sealed value opens in no other's tasks.
        schemas: JSON schemas of the input as it is read and as it is written.
    """

    def __init__(self, name: str, schemas: Sequence[Mapping[str, Any]]) -> None:
        self._name = name
        self._root = tuple(Node(schema, schema) for schema in schemas)

    def place(self, path: Sequence[str]) -> str:
        """Return what a value is sealed for: one field, whatever the number or key of its item."""
        return "\0".join((self._name, *path))

    def seal(self, written: Any, plain: Any, vault: Vault) -> Any:
        """Return an input with its secrets sealed.

        Args:
            written: The input as JSON values, with asterisks where pydantic writes them.
            plain: The same as Python values; those of a message are both.
            vault: The yard's keys.

        Raises:
            MisplacedSecretError: A secret cannot travel as it is.
        """

        def leaf(value: Any, path: Sequence[str]) -> Any:
            shown = revealed(*value)
            if shown is None:
                return None
            where = ".".join(path)
            if shown == MASK:
                raise MisplacedSecretError(f"{where} is the mask of a secret, and not one. Give the secret itself")
            if isinstance(shown, str) and SEALED.fullmatch(shown):
                _opened(vault, shown, self.place(path), where)
                return shown
            return vault.seal(to_json(shown, bytes_mode="base64"), self.place(path))

        return _walk(self._root, (written, plain), (), leaf)

    def open(self, written: Any, vault: Vault) -> Opened:
        """Return an input with its secrets open; those that came open stay as they are.

        Args:
            written: The input as JSON values.
            vault: The yard's keys.

        Raises:
            MisplacedSecretError: No key opens one of them.
        """
        opened = Opened(None, changed=False, secrets=[])
        sealed = False

        def leaf(value: Any, path: Sequence[str]) -> Any:
            nonlocal sealed
            found = value[0]
            if isinstance(found, str) and SEALED.fullmatch(found):
                sealed = True
                found = from_json(_opened(vault, found, self.place(path), ".".join(path)))
            opened.secrets.append(found)
            return found

        return Opened(_walk(self._root, (written, written), (), leaf), sealed, opened.secrets)

    def restore(self, given: Any, before: Any) -> Any:
        """Return an input in which each mask is what stood in its place before, as a form sends it back.

        Args:
            given: The input as JSON values.
            before: The one that was shown, with its secrets sealed.
        """
        kept = {path: value for path, value in _concrete(before, ()) if isinstance(value, str)}

        def put(value: Any, path: tuple[str | int, ...]) -> Any:
            if isinstance(value, dict):
                return {key: put(one, (*path, key)) for key, one in value.items()}
            if isinstance(value, list):
                return [put(one, (*path, number)) for number, one in enumerate(value)]
            known = kept.get(path, "") if value == MASK else ""
            return known if SEALED.fullmatch(known) else value

        return put(given, ())

    def touches(self, path: Sequence[str]) -> bool:
        """Whether the field at a path is a secret, is in one, or has one in it.

        Args:
            path: A parameter, and then fields of models or keys of mappings.
        """
        nodes = branches(self._root)
        for part in path:
            if any(is_secret(one.value) for one in nodes):
                return True
            nodes = branches(members(nodes, part))
        return any(holds_secret(one) for one in nodes)


def places_of(name: str, model: type[BaseModel]) -> Places | None:
    """Return where an input holds secrets; None where it has none.

    Args:
        name: The definition's name.
        model: The input's model.
    """
    modes: tuple[JsonSchemaMode, ...] = ("validation", "serialization")
    # Callers may use a field's own name in place of its alias.
    schemas = [
        model.model_json_schema(by_alias=by_alias, mode=mode, schema_generator=MarkingSchema)
        for mode in modes
        for by_alias in (True, False)
    ]
    found = Places(name, schemas)
    return found if any(holds_secret(Node(schema, schema)) for schema in schemas) else None


def revealed(written: Any, plain: Any) -> Any:
    """Return JSON values with the secrets themselves in place of pydantic's asterisks.

    Args:
        written: The JSON values.
        plain: The same as Python values; unknown where a model writes itself in its own way.
    """
    if isinstance(plain, SECRETS) or isinstance(written, SECRETS):
        return _uncovered(written, plain)
    if isinstance(written, Mapping):
        return {key: revealed(one, other) for (key, one), other in _pairs(written, plain)}
    if isinstance(plain, set | frozenset) and any(isinstance(one, SECRETS) for one in plain):
        return sorted(revealed(one, one) for one in plain)
    if isinstance(written, list | tuple):
        return [revealed(one, other) for one, other in zip(written, _others(written, plain), strict=True)]
    return written


def _uncovered(written: Any, plain: Any) -> Any:
    """Return a secret as JSON, unless its model's own serializer has said what is to travel in its place."""
    if isinstance(plain, SECRETS) and not isinstance(written, SECRETS) and written not in (MASK, "", str(plain)):
        return written
    holder = plain if isinstance(plain, SECRETS) else written
    return from_json(to_json(disclosed(holder.get_secret_value()), bytes_mode="base64", inf_nan_mode="strings"))


def disclosed(value: Any) -> Any:
    """Return Python values as JSON values, secrets open: to be hashed, never to be kept."""
    if isinstance(value, BaseModel):
        return revealed(value.model_dump(mode="json"), value.model_dump())
    if isinstance(value, SECRETS):
        return disclosed(value.get_secret_value())
    if is_dataclass(value) and not isinstance(value, type):
        value = {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): disclosed(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((disclosed(one) for one in value), key=str)
    return [disclosed(one) for one in value] if isinstance(value, list | tuple) else value


def _opened(vault: Vault, sealed: str, place: str, where: str) -> bytes:
    try:
        return vault.open(sealed, place)
    except ClosedError as error:
        raise MisplacedSecretError(
            f"the secret at {where} cannot be opened: {error}. Put the key back, or give the secret anew"
        ) from None


# -- through value and schema at once ----------------------------------------------------------------------------------


def _walk(nodes: tuple[Node, ...], value: tuple[Any, Any], path: tuple[str, ...], leaf: Callable[..., Any]) -> Any:
    """Return a value with its secret places changed.

    Args:
        nodes: What the schemas say of it.
        value: What is written, and the Python value behind it.
        path: Where it stands.
        leaf: Told what stands in a secret place, and where that is.
    """
    nodes = branches(nodes)
    if isinstance(value[0], BaseModel):  # a program's own argument
        value = value[0].model_dump(mode="json", by_alias=True), value[0].model_dump(by_alias=True)
    written, plain = value
    if any(is_secret(one.value) for one in nodes):
        return leaf(value, path)
    if isinstance(plain, SECRETS):
        raise MisplacedSecretError(
            f"{'.'.join(path)} holds a secret, and its type does not say so: it would be written as asterisks"
        )
    if isinstance(written, Mapping):
        return {
            key: _walk(members(nodes, str(key)), (one, other), (*path, _step(nodes, str(key))), leaf)
            for (key, one), other in _pairs(written, plain)
        }
    if isinstance(written, list | tuple):
        if isinstance(plain, set | frozenset) and any(isinstance(one, SECRETS) for one in plain):
            # A set has no order, and its secrets are to be sealed the same each time.
            return sorted(_walk(items(nodes, 0), (one, one), (*path, "[]"), leaf) for one in plain)
        others = _others(written, plain)
        return [
            _walk(items(nodes, number), (one, other), (*path, "[]"), leaf)
            for number, (one, other) in enumerate(zip(written, others, strict=True))
        ]
    return written


def _pairs(written: Mapping[Any, Any], plain: Any) -> Iterator[tuple[tuple[Any, Any], Any]]:
    """Go through an object and the mapping behind it, whose keys may be of other types but are in the same order."""
    same = isinstance(plain, Mapping) and len(plain) == len(written)
    return zip(written.items(), plain.values() if same else repeat(_UNKNOWN), strict=False)


def _others(written: Sequence[Any], plain: Any) -> Sequence[Any]:
    same = isinstance(plain, list | tuple) and len(plain) == len(written)
    return plain if same else [_UNKNOWN] * len(written)


def _step(nodes: tuple[Node, ...], key: str) -> str:
    """Return a member's name as a part of a place: a field's own, and one for all keys of a mapping."""
    return key if any(key in one.value.get("properties", {}) for one in nodes) else "*"


def _concrete(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Go through all values that hold no others, each with where it stands."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _concrete(one, (*path, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _concrete(one, (*path, number))
    else:
        yield path, value
