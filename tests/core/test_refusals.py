"""Declarations that cannot work are refused at import, with a sentence that says what to do."""

from __future__ import annotations

import functools
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pydantic.dataclasses
import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, Secret, SecretBytes, SecretStr

from backyard.core.definition import define
from backyard.core.errors import DefinitionError
from backyard.core.models import TaskContext


class Ctx(TaskContext):
    pass


class Raw(BaseModel):
    data: bytes


class HalfRaw(BaseModel):
    model_config = ConfigDict(val_json_bytes="base64")
    data: bytes


@pydantic.dataclasses.dataclass
class RawBox:
    data: bytes


class Login(BaseModel):
    password: SecretStr


class RawLogin(BaseModel):
    password: SecretBytes


class Opaque:
    pass


class OldDict(typing.TypedDict):
    a: int


class Callme:
    def __call__(self, a: int) -> int:
        return a


def untyped(a):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - on purpose, as below
    return a


def star(*numbers: int) -> None: ...
def stars(**options: int) -> None: ...
def by_position(a: int, /) -> None: ...
def two_contexts(one: Ctx, two: Ctx) -> None: ...
def unknown_name(a: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def unknown_return() -> Missing: ...  # type: ignore[name-defined]  # noqa: F821
def no_type(a: 5) -> None: ...  # type: ignore[valid-type]
def no_class(a: int) -> None: ...
def no_sense(a: int) -> None: ...
def no_attribute(a: int) -> None: ...
def opaque(a: Opaque) -> None: ...
def opaque_inside(a: list[dict[str, Opaque]]) -> None: ...
def returns_opaque() -> Opaque: ...  # type: ignore[empty-body]
def takes_function(a: Callable[[], int]) -> None: ...
def returns_function() -> Callable[[], int]: ...  # type: ignore[empty-body]
def default_too_big(a: int = Field(default=600, le=500)) -> None: ...
def default_of_other_type(a: int = "many") -> None: ...  # type: ignore[assignment]
def default_none(copy: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013
def raw(a: Raw) -> None: ...
def raw_inside(a: list[Raw] | None = None) -> None: ...
def half_raw(a: HalfRaw) -> None: ...
def raw_box(a: RawBox) -> None: ...
def returns_raw() -> dict[str, Raw]: ...  # type: ignore[empty-body]
def returns_raw_box() -> RawBox: ...  # type: ignore[empty-body]
def secret(a: SecretStr) -> None: ...
def secret_inside(a: Login) -> None: ...
def marked(a: Annotated[str, Field(json_schema_extra={"secret": True})]) -> None: ...
def returns_secret() -> list[Login]: ...  # type: ignore[empty-body]
def returns_any_secret() -> Secret[int] | None: ...
def returns_marked() -> Annotated[str, Field(json_schema_extra={"secret": True})]: ...  # type: ignore[empty-body]
def secret_keys(a: dict[SecretStr, int]) -> None: ...
def secret_default(a: str = Field(default="hunter2", json_schema_extra={"secret": True})) -> None: ...
def secret_raw(a: RawLogin) -> None: ...
def excluded(a: int = Field(default=1, exclude=True)) -> None: ...
def excluded_inside(a: Annotated[int, Field(exclude=True)]) -> None: ...
def two_names(a: int = Field(validation_alias="b", serialization_alias="c")) -> None: ...
def choices(a: int = Field(validation_alias=AliasChoices("b", "c"))) -> None: ...
def old_dict(a: OldDict) -> None: ...


no_class.__annotations__["a"] = "1 + 'x'"
no_sense.__annotations__["a"] = "list["
no_attribute.__annotations__["a"] = "typing.Lisst"


def yields() -> Iterator[int]:
    yield 1


async def yields_later() -> AsyncIterator[int]:
    yield 1


REFUSED: list[tuple[Callable[..., Any], str, str]] = [
    (untyped, "Parameter 'a' of 'untyped' has no type", "Write 'a: int'"),
    (star, "takes *numbers, which has no schema", "take one list or dict"),
    (stars, "takes *options, which has no schema", "take one list or dict"),
    (by_position, "takes 'a' by position only", "Remove the '/'"),
    (two_contexts, "two context parameters, 'one' and 'two'", "Keep one"),
    (unknown_name, "names something unknown: name 'Missing'", "Import it at module level"),
    (unknown_return, "names something unknown: name 'Missing'", "outside of 'if TYPE_CHECKING'"),
    (no_type, "A parameter of 'no_type' has a type that cannot travel", "Use plain types"),
    (no_class, "An annotation of 'no_class' is not a type", "unsupported operand"),
    (no_sense, "An annotation of 'no_sense' is not a type", "'list['"),
    (no_attribute, "An annotation of 'no_attribute' is not a type", "Lisst"),
    (opaque, "A parameter of 'opaque' has a type that cannot travel as JSON", "Use plain types"),
    (opaque_inside, "A parameter of 'opaque_inside' has a type that cannot travel", "backyard.File"),
    (returns_opaque, "'returns_opaque' returns a type that cannot travel as JSON", "ctx.save"),
    (takes_function, "A parameter of 'takes_function' has a type that cannot travel", "Use plain types"),
    (returns_function, "'returns_function' returns a type that cannot travel", "Return plain types"),
    (default_too_big, "The default of 'a' in 'default_too_big' does not fit its type", "less than or equal to 500"),
    (default_of_other_type, "The default of 'a' in 'default_of_other_type' does not fit", "valid integer"),
    (default_none, "The default of 'copy' in 'default_none' does not fit", "valid integer"),
    (raw, "'raw' takes a model with a bytes field", "ser_json_bytes='base64', val_json_bytes='base64'"),
    (raw_inside, "'raw_inside' takes a model with a bytes field", "ser_json_bytes='base64'"),
    (half_raw, "'half_raw' takes a model with a bytes field", "ser_json_bytes='base64'"),
    (raw_box, "'raw_box' takes a model with a bytes field", "@dataclass(config=...)"),
    (returns_raw, "'returns_raw' returns a model with a bytes field", "ser_json_bytes='base64'"),
    (returns_raw_box, "'returns_raw_box' returns a model with a bytes field", "@dataclass(config=...)"),
    (secret, "'secret' takes a secret, and the yard has no key", "Set BACKYARD_SECRET_KEYS"),
    (secret_inside, "'secret_inside' takes a secret, and the yard has no key", "Set BACKYARD_SECRET_KEYS"),
    (marked, "'marked' takes a secret, and the yard has no key", "Set BACKYARD_SECRET_KEYS"),
    (returns_secret, "'returns_secret' returns a secret", "return its name"),
    (returns_any_secret, "'returns_any_secret' returns a secret", "return its name"),
    (returns_marked, "'returns_marked' returns a secret", "return its name"),
    (secret_keys, "'secret_keys' takes a mapping with secrets as its keys", "Make them its values"),
    (secret_default, "'secret_default' takes a secret with a default", "make it None"),
    (secret_raw, "'secret_raw' takes a model with a bytes field", "ser_json_bytes='base64'"),
    (excluded, "Parameter 'a' of 'excluded' is excluded from JSON", "Remove 'exclude'"),
    (excluded_inside, "Parameter 'a' of 'excluded_inside' is excluded from JSON", "Remove 'exclude'"),
    (two_names, "Parameter 'a' of 'two_names' is read under one name and written under another", "Field(alias=...)"),
    (choices, "Parameter 'a' of 'choices' is read under one name and written under another", "Field(alias=...)"),
    (yields, "'yields' is a generator", "collect the values into a list"),
    (yields_later, "'yields_later' is a generator", "ctx.save"),
    (lambda: 1, "'<lambda>' cannot be a task's name", "@yard.task(name=...)"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "what", "remedy"), REFUSED, ids=[row[0].__name__ for row in REFUSED])
def test_refused_with_what_and_remedy(function: Callable[..., Any], what: str, remedy: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        define(function, None, None)
    assert what in caught.value.message
    assert remedy in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "the sentence is all there is to read"
    assert "\n" not in caught.value.message


@pytest.mark.skipif("sys.version_info >= (3, 12)", reason="pydantic reads typing.TypedDict from 3.12 on")
def test_typed_dict_of_old_pythons_says_where_the_new_one_is() -> None:
    with pytest.raises(DefinitionError, match=r"Please use `typing_extensions\.TypedDict`"):
        define(old_dict, None, None)


@pytest.mark.parametrize("name", ["", "1st", "a b", "a/b", "a:b", "é", "x" * 129, "-a", "a\n", ".a"])
def test_name_that_cannot_be_one(name: str) -> None:
    with pytest.raises(DefinitionError, match=r"cannot be a task's name: .* Give one with @yard\.task\(name=\.\.\.\)"):
        define(raw, name, None)


@pytest.mark.parametrize("thing", [Callme(), functools.partial(raw), Opaque, print, 5, None, staticmethod(raw)])
def test_what_is_no_plain_function(thing: Any) -> None:
    with pytest.raises(DefinitionError, match=r"@yard\.task needs a plain function for 'f', and got \w+\."):
        define(thing, "f", None)


def adds(a: int, b: int = 2) -> int:
    return a + b


@pytest.mark.parametrize("example", [{}, {"a": "x"}, {"a": 1, "c": 2}])
def test_example_that_does_not_fit(example: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="The example of 'adds' does not fit its own input: The input of adds"):
        define(adds, None, example)


def test_unknown_option() -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'timeout'"):
        define(adds, None, None, timout=5)
