"""What a function's signature says: its input model, its output adapter, its context parameter."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, NewType, cast, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaMode

from backyard.core.errors import DefinitionError
from backyard.core.models import TaskContext
from backyard.core.policy import NAME
from backyard.core.secret_places import Places, places_of
from backyard.core.secret_schema import BYTES_AS_TEXT, MarkingSchema, Node, is_secret, under
from backyard.core.secrets import MASK

#: Bytes and the numbers JSON lacks travel as text, so that every value comes back as what it was.
TRAVEL = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings")
#: JSON schemas of what is read, and of what is written.
MODES: tuple[JsonSchemaMode, ...] = ("validation", "serialization")
#: A parameter with an alias is known by it in JSON, and by its own name to Python callers.
INPUT = ConfigDict(
    extra="forbid", validate_default=True, validate_by_name=True, validate_by_alias=True,
    arbitrary_types_allowed=False, **TRAVEL,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """What a signature says.

    Args:
        input_model: One field a parameter, the context left out.
        output: Adapter of the return annotation.
        fields: Pairs of parameter name and model attribute, in order.
        context: Name of the parameter that receives the context, if there is one.
        is_async: Whether the function is ``async def``.
        places: Where its input holds secrets; None where it has none.
    """

    input_model: type[BaseModel]
    output: TypeAdapter[Any]
    fields: tuple[tuple[str, str], ...]
    context: str | None
    is_async: bool
    places: Places | None = None

    @property
    def names(self) -> list[str]:
        """The names of the parameters that make up the input, in order."""
        return [name for name, _ in self.fields]


def read_signature(function: Callable[..., Any], name: str) -> Shape:
    """Read a function's signature.

    Args:
        function: The user's function.
        name: The definition's name.

    Raises:
        DefinitionError: Something in it cannot work; the message says what to write instead.
    """
    _check_kind(function, name)
    hints = _annotations(function, name)
    context: str | None = None
    fields: dict[str, Any] = {}
    pairs: list[tuple[str, str]] = []
    for parameter in inspect.signature(function).parameters.values():
        annotation = hints.get(parameter.name, inspect.Parameter.empty)
        if isinstance(annotation, type) and issubclass(annotation, TaskContext):
            if context is not None:
                raise DefinitionError(
                    f"'{name}' has two context parameters, '{context}' and '{parameter.name}'. Keep one."
                )
            context = parameter.name
            continue
        key, row = _field(name, parameter, annotation)
        while key in fields or (key != parameter.name and key in hints):
            key = f"field_{key}"
        fields[key] = row
        pairs.append((parameter.name, key))
    model = _input_model(name, fields)
    output = _output_adapter(name, hints.get("return", Any))
    return Shape(model, output, tuple(pairs), context, inspect.iscoroutinefunction(function), places_of(name, model))


def _check_kind(function: Callable[..., Any], name: str) -> None:
    if not re.fullmatch(NAME[1:-1], name):
        raise DefinitionError(
            f"'{name}' cannot be a task's name: use letters, digits, '_', '-' and '.', starting with a letter. "
            "Give one with @yard.task(name=...)."
        )
    if not (inspect.isfunction(function) or inspect.iscoroutinefunction(function)):
        raise DefinitionError(f"@yard.task needs a plain function for '{name}', and got {type(function).__name__}.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(
            f"'{name}' is a generator. A task returns one value: collect the values into a list, "
            "or save them with ctx.save(...)."
        )


def _annotations(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"An annotation of '{name}' names something unknown: {error}. Import it at module level, outside of "
            "'if TYPE_CHECKING', since it is needed when the program runs."
        ) from None
    except (TypeError, AttributeError, SyntaxError) as error:
        raise DefinitionError(f"An annotation of '{name}' is not a type: {error}.") from None


def _field(name: str, parameter: inspect.Parameter, annotation: Any) -> tuple[str, tuple[Any, Any]]:
    kind = parameter.kind
    if kind in (kind.VAR_POSITIONAL, kind.VAR_KEYWORD):
        raise DefinitionError(
            f"'{name}' takes *{parameter.name}, which has no schema. Name each parameter, or take one list or dict."
        )
    if kind is kind.POSITIONAL_ONLY:
        raise DefinitionError(f"'{name}' takes '{parameter.name}' by position only. Remove the '/': input has names.")
    if annotation is inspect.Parameter.empty:
        raise DefinitionError(
            f"Parameter '{parameter.name}' of '{name}' has no type. Write '{parameter.name}: int', say."
        )
    default = ... if parameter.default is inspect.Parameter.empty else parameter.default
    key = parameter.name
    row = (
        FieldInfo.from_annotation(annotation)
        if default is ...
        else FieldInfo.from_annotated_attribute(annotation, default)
    )
    _check_field(name, key, row)
    # pydantic keeps leading underscores and its own attribute names for itself; such a parameter gets an alias.
    if key.startswith(("_", "model_")) or hasattr(BaseModel, key):
        row.alias = row.validation_alias = row.serialization_alias = row.alias or key
        return f"field_{key}", (annotation, row)
    return key, (annotation, default)


def _check_field(name: str, key: str, row: FieldInfo) -> None:
    """Refuse a field that would be written differently from how it is read: its value would be lost on the way."""
    if row.exclude or row.exclude_if is not None:
        raise DefinitionError(
            f"Parameter '{key}' of '{name}' is excluded from JSON, so that its value would never reach the worker. "
            "Remove 'exclude'."
        )
    if row.validation_alias != row.serialization_alias or not isinstance(row.validation_alias, str | None):
        raise DefinitionError(
            f"Parameter '{key}' of '{name}' is read under one name and written under another. "
            "Give it one name with Field(alias=...)."
        )


def _input_model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    title = "".join(part[:1].upper() + part[1:] for part in re.split(r"[_.-]+", name) if part) + "Input"
    try:
        model = create_model(title, __config__=INPUT, **fields)
        schemas = [model.model_json_schema(mode=mode, schema_generator=MarkingSchema) for mode in MODES]
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema) as error:
        raise DefinitionError(
            f"A parameter of '{name}' has a type that cannot travel as JSON: {_first_line(error)}. "
            "Use plain types, dataclasses or pydantic models; a file travels as backyard.File."
        ) from None
    except (PydanticUserError, PydanticUndefinedAnnotation, TypeError) as error:
        raise DefinitionError(
            f"The parameters of '{name}' cannot become an input model: {_first_line(error)}."
        ) from None
    _check_travel(name, "takes", schemas)
    _check_secrets(name, schemas)
    _check_defaults(name, model)
    return model


def _check_defaults(name: str, model: type[BaseModel]) -> None:
    """Refuse a default that its own type would refuse, before the first task meets it."""
    try:
        model.model_validate({})
    except ValidationError as error:
        wrong = [row for row in error.errors() if row["type"] != "missing"]
        if wrong:
            key = str(wrong[0]["loc"][0])
            parameter = (key in model.model_fields and model.model_fields[key].alias) or key
            raise DefinitionError(
                f"The default of '{parameter}' in '{name}' does not fit its type: {wrong[0]['msg']}."
            ) from None


def _output_adapter(name: str, annotation: Any) -> TypeAdapter[Any]:
    try:
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=TRAVEL)
        except PydanticUserError:
            # A model, dataclass or TypedDict may bring a config of its own. Under another name it is taken with ours,
            # which then holds where it has none; without ours, pydantic would not follow a TypedDict's either.
            adapter = TypeAdapter(cast("Any", NewType)(f"{name}_result", annotation), config=TRAVEL)
        schemas = [adapter.json_schema(mode=mode, schema_generator=MarkingSchema) for mode in MODES]
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError) as error:
        raise DefinitionError(
            f"'{name}' returns a type that cannot travel as JSON: {_first_line(error)}. "
            "Return plain types, dataclasses or pydantic models; hand files over with ctx.save(...)."
        ) from None
    _check_travel(name, "returns", schemas)
    if any(is_secret(node) for node in _nodes(schemas)):
        raise DefinitionError(
            f"'{name}' returns a secret. A result is kept and shown as it is, to all who may look at the task. Keep "
            "the secret where it belongs, and return its name."
        )
    return adapter


def _check_travel(name: str, verb: str, schemas: list[Any]) -> None:
    """Refuse bytes as UTF-8 text, in the open or as a secret: most bytes are none, and the task would fail later."""
    for node in _nodes(schemas):
        if (node.get("format") == "binary" and node.get("type") == "string") or node.get(BYTES_AS_TEXT):
            raise DefinitionError(
                f"'{name}' {verb} a model with a bytes field, which JSON cannot carry as it is. Give the model "
                "model_config = ConfigDict(ser_json_bytes='base64', val_json_bytes='base64'), or a pydantic dataclass "
                "the same as @dataclass(config=...)."
            )


def _check_secrets(name: str, schemas: list[Any]) -> None:
    """Refuse secrets where they could not be sealed."""
    for node in _nodes(schemas):
        if is_secret(node.get("propertyNames") or {}):
            raise DefinitionError(
                f"'{name}' takes a mapping with secrets as its keys, which stay readable. Make them its values."
            )
        if is_secret(node) and node.get("default") not in (None, "", MASK):
            raise DefinitionError(
                f"'{name}' takes a secret with a default, which its schema would show. Leave the default out, or make "
                "it None and let the function get the secret from its environment."
            )


def _nodes(schemas: list[Any]) -> Iterator[Mapping[str, Any]]:
    return chain.from_iterable(under(Node(schema, schema)) for schema in schemas)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
