"""A definition: one typed function, with its input model, output adapter and policy."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from backyard.core.errors import DefinitionError, InvalidInputError
from backyard.core.limits import check_limits, unique_digest
from backyard.core.policy import Policy
from backyard.core.secret_places import MisplacedSecretError
from backyard.core.secrets import MASK, spellings
from backyard.core.signature import Shape, read_signature
from backyard.core.vault import Vault

#: Field errors that an answer shows; the first ones say enough.
SHOWN_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Definition:
    """A typed function that can be submitted as a task.

    Args:
        name: The name under which tasks are submitted.
        function: The user's function.
        policy: How its tasks are run.
        shape: What its signature says.
        example: An input shown in the documentation.
        vault: The yard's keys, which seal the secrets of its inputs; None where it has none.
    """

    name: str
    function: Callable[..., Any]
    policy: Policy
    shape: Shape
    doc: str = ""
    example: Mapping[str, Any] | None = field(default=None)
    vault: Vault | None = None

    @property
    def input_model(self) -> type[BaseModel]:
        """The pydantic model of the input: one field a parameter."""
        return self.shape.input_model

    @property
    def output(self) -> TypeAdapter[Any]:
        """The adapter of what the function returns."""
        return self.shape.output

    @property
    def summary(self) -> str:
        """The first line of the function's docstring, or its name in words."""
        return self.doc.partition("\n")[0] or self.name.replace("_", " ").capitalize()

    @property
    def fingerprint(self) -> str:
        """A few letters that are the same for the same input schema."""
        return _fingerprint(self.input_model)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> BaseModel:
        """Check Python arguments, given as to the function itself.

        Raises:
            InvalidInputError: They do not fit; its errors name the fields.
        """
        names = self.shape.names
        if len(args) > len(names):
            raise InvalidInputError(
                f"{self.name} takes {len(names)} arguments and got {len(args)}. They are: {', '.join(names) or 'none'}."
            )
        values = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name in values:
                raise InvalidInputError(f"{self.name} got the argument '{name}' twice.")
            values[name] = value
        attributes = dict(self.shape.fields)
        try:
            return self.input_model.model_validate(
                {attributes.get(name, name): value for name, value in values.items()}
            )
        except ValidationError as error:
            raise invalid_input(self.name, error) from None

    def parse(self, text: str | bytes) -> BaseModel:
        """Check an input that came as JSON, its secrets sealed or open.

        Raises:
            InvalidInputError: It is not JSON, or does not fit; its errors name the fields.
        """
        text, _ = self.open(text)
        try:
            return self.input_model.model_validate_json(text)
        except ValidationError as error:
            raise invalid_input(self.name, error) from None

    def encode(self, model: BaseModel) -> bytes:
        """Return a checked input as JSON text, its secrets sealed.

        Raises:
            InvalidInputError: A value cannot be written as JSON.
        """
        places, vault = self.shape.places, self.vault
        try:
            text = model.model_dump_json(by_alias=True).encode()
            if b"null" in text:
                check_nothing_lost(text, model.model_dump(mode="json", by_alias=True))
            if places is not None and vault is not None:
                text = to_json(places.seal(from_json(text), model.model_dump(by_alias=True), vault))
        except MisplacedSecretError as error:
            raise InvalidInputError(f"The input of {self.name} is not valid: {error}.") from None
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"The input of {self.name} cannot travel as JSON: {error}") from None
        return text

    def seal(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return some arguments by name, unchecked, with their secrets sealed.

        Args:
            values: The arguments as a program gives them.

        Raises:
            InvalidInputError: A secret cannot travel as it is.
        """
        places, vault = self.shape.places, self.vault
        if places is None or vault is None:
            return dict(values)
        try:
            return dict(places.seal(values, values, vault))
        except ValueError as error:
            raise InvalidInputError(f"The input of {self.name} is not valid: {error}.") from None

    def open(self, text: str | bytes) -> tuple[str | bytes, tuple[str, ...]]:
        """Open the secrets of an input that came as JSON.

        Returns:
            The input as JSON text, and the texts that would give its secrets away.

        Raises:
            InvalidInputError: No key opens one of them.
        """
        places, vault = self.shape.places, self.vault
        if places is None or vault is None:
            return text, ()
        try:
            value = from_json(text)
        except ValueError:
            return text, ()  # whoever checks it says what is wrong
        try:
            opened = places.open(value, vault)
        except MisplacedSecretError as error:
            raise InvalidInputError(f"The input of {self.name} is not valid: {error}.") from None
        # As it came, where nothing was sealed: numbers may have more digits than Python's.
        return to_json(opened.value) if opened.changed else text, spellings(opened.secrets)

    def restore(self, text: str | bytes, before: str | bytes) -> str | bytes:
        """Return an input in which each mask of a secret is the secret again, as a form sends back what it was shown.

        Args:
            text: The input as JSON text.
            before: The input that was shown, as JSON text with its secrets sealed.
        """
        if self.shape.places is None or MASK.encode() not in (text.encode() if isinstance(text, str) else text):
            return text
        try:
            return to_json(self.shape.places.restore(from_json(text), from_json(before)))
        except ValueError:
            return text  # whoever checks it says what is wrong

    def arguments(self, model: BaseModel) -> dict[str, Any]:
        """Return a checked input as keyword arguments of the function, each as its own type."""
        return {name: getattr(model, key) for name, key in self.shape.fields}

    def encode_result(self, value: Any) -> bytes:
        """Check what the function returned, and return it as JSON text.

        Raises:
            pydantic.ValidationError: The value is not of the declared type.
            pydantic_core.PydanticSerializationError: The value cannot be written as JSON.
        """
        checked = self.output.validate_python(value)
        text = self.output.dump_json(checked, by_alias=True)
        if b"null" in text:
            check_nothing_lost(text, self.output.dump_python(checked, mode="json", by_alias=True))
        return text

    def unique(self, model: BaseModel, payload: bytes) -> str:
        """Return how long a task is in the way of others like it, with the key that they share; empty if it never is.

        Args:
            model: Its checked input.
            payload: The same as JSON text.
        """
        policy = self.policy
        if policy.unique is None:
            return ""
        mode = policy.unique if isinstance(policy.unique, str) else "window"
        return f"{mode} {self.name}:{unique_digest(self.shape, model, policy.unique_key, payload, self.vault)}"

    @property
    def unique_window(self) -> float | None:
        """Seconds that a task is in the way of others like it, where that is a time."""
        return self.policy.unique if isinstance(self.policy.unique, float) else None

    def decode_result(self, text: str | bytes) -> Any:
        """Return a kept result as its own type."""
        return self.output.validate_json(text)

    def call(self, context: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call the function here and now, with checked arguments; an ``async`` function returns its coroutine.

        Raises:
            InvalidInputError: The arguments do not fit.
        """
        arguments = self.arguments(self.bind(args, kwargs))
        if self.shape.context is not None:
            arguments[self.shape.context] = context
        return self.function(**arguments)


def define(
    function: Callable[..., Any],
    name: str | None,
    example: Mapping[str, Any] | None,
    vault: Vault | None = None,
    webhook_check: Callable[[str], str] | None = None,
    **options: Any,
) -> Definition:
    """Make a definition of a function, or refuse it with a sentence that says what to do.

    Args:
        function: The user's ``def`` or ``async def`` function.
        name: The definition's name; None takes the function's.
        example: An input for the documentation; it must fit the function.
        vault: The yard's keys for secrets, if it has any.
        webhook_check: Returns the URL of a webhook in its normal form, or raises ValueError where it may not be told.
        options: The fields of :class:`~backyard.core.policy.Policy`.

    Raises:
        DefinitionError: The function or an option cannot work.
    """
    chosen = name if name is not None else getattr(function, "__name__", "")
    shape = read_signature(function, chosen)
    if shape.places is not None and vault is None:
        raise DefinitionError(
            f"'{chosen}' takes a secret, and the yard has no key to seal it with, so that everyone who reads the "
            "server's memory could read it. Set BACKYARD_SECRET_KEYS to a long random text, the same for all processes "
            'of the yard. This makes one: python -c "import secrets; print(secrets.token_urlsafe(48))".'
        )
    policy = Policy.declared(chosen, options)
    if policy.webhook is not None and webhook_check is not None:
        policy = policy.model_copy(update={"webhook": _told(chosen, policy.webhook, webhook_check)})
    check_limits(chosen, policy, shape)
    definition = Definition(chosen, function, policy, shape, inspect.getdoc(function) or "", example, vault)
    if example is not None:
        try:
            definition.bind((), example)
        except InvalidInputError as error:
            raise DefinitionError(f"The example of '{chosen}' does not fit its own input: {error}") from None
    return definition


def _told(name: str, url: str, check: Callable[[str], str]) -> str:
    try:
        return check(url)
    except ValueError as error:
        raise DefinitionError(f"@yard.task of '{name}' has a webhook that cannot be told: {error}.") from None


@cache
def _fingerprint(model: type[BaseModel]) -> str:
    schema = json.dumps(model.model_json_schema(), sort_keys=True)
    return hashlib.sha256(schema.encode()).hexdigest()[:8]


def check_nothing_lost(text: bytes, value: Any) -> None:
    """Refuse what pydantic writes as null without a word: NaN and infinities in models of the user's own.

    Args:
        text: What was written.
        value: The same as plain values.

    Raises:
        pydantic_core.PydanticSerializationError: There is such a number in it.
    """
    waiting: list[tuple[Any, Any]] = [(from_json(text), value)]
    while waiting:
        written, meant = waiting.pop()
        if isinstance(written, dict):
            waiting += ((written[key], meant[key]) for key in written)
        elif isinstance(written, list):
            waiting += zip(written, meant, strict=True)
        elif written is None and isinstance(meant, float):
            raise PydanticSerializationError(
                f"a model holds {meant}, which JSON has no word for. "
                "Give the model model_config = ConfigDict(ser_json_inf_nan='strings')"
            )


def told(kind: str, message: str) -> str:
    """Return what is said of a field's error: pydantic's own words, where they say what to do.

    Args:
        kind: The rule that was broken, by pydantic's name.
        message: What pydantic says.
    """
    return _REMEDIES.get(kind, message)


_REMEDIES = {"extra_forbidden": "There is no such field here: see /docs for the names, or leave it out"}


def invalid_input(name: str, error: ValidationError) -> InvalidInputError:
    """Turn pydantic's error into ours, field by field."""
    rows = [
        {"location": list(row["loc"]), "message": told(row["type"], row["msg"]), "type": row["type"]}
        for row in error.errors(include_url=False, include_context=False, include_input=False)[:SHOWN_ERRORS]
    ]
    first = rows[0]
    place = ".".join(str(part) for part in cast("list[Any]", first["location"])) or "the body"
    return InvalidInputError(f"The input of {name} is not valid: {place}: {first['message']}", rows)
