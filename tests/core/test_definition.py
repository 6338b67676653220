"""Definitions: every kind of declaration, and how its arguments are checked."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import Field

from backyard.core.definition import define
from backyard.core.errors import InvalidInputError
from backyard.core.models import TaskContext


class Ctx(TaskContext):
    pass


def first(ctx: Ctx, a: int, b: str = "x") -> str:
    return f"{a}{b}{type(ctx).__name__}"


def middle(a: int, ctx: Ctx, b: str = "x") -> str:
    return first(ctx, a, b)


def last(a: int, b: str = "x", *, ctx: Ctx) -> str:
    return first(ctx, a, b)


@pytest.mark.parametrize("function", [first, middle, last])
def test_context_may_stand_anywhere(function: Callable[..., Any]) -> None:
    definition = define(function, None, None)
    assert definition.shape.context == "ctx"
    assert definition.shape.names == ["a", "b"]
    assert "ctx" not in definition.input_model.model_fields
    assert definition.call(Ctx(), (1,), {"b": "y"}) == "1yCtx"
    assert definition.call(Ctx(), ("7",), {}) == "7xCtx"
    with pytest.raises(InvalidInputError, match="ctx"):
        definition.bind((1,), {"ctx": Ctx()})


def test_function_without_context_gets_none() -> None:
    definition = define(lambda: 5, "five", None)
    assert definition.shape.context is None
    assert definition.call(Ctx(), (), {}) == 5
    assert definition.encode(definition.bind((), {})) == b"{}"


def test_async_functions_are_known_and_give_their_coroutine() -> None:
    async def double(a: int) -> int:
        return 2 * a

    definition = define(double, None, None)
    assert definition.shape.is_async
    assert not define(first, None, None).shape.is_async
    coroutine = definition.call(None, (4,), {})
    assert inspect.iscoroutine(coroutine)
    assert asyncio.run(coroutine) == 8


def test_defaults_and_bounds_are_in_the_model() -> None:
    def order(
        count: int = Field(default=10, gt=0, le=500),
        price: Annotated[decimal.Decimal, Field(max_digits=6, description="Per piece")] = decimal.Decimal("1.50"),
        tags: list[str] = Field(default_factory=list, max_length=2),
        when: dt.date | None = None,
    ) -> None:
        """Order things."""

    definition = define(order, None, {"count": 3})
    assert definition.arguments(definition.bind((), {})) == {
        "count": 10, "price": decimal.Decimal("1.50"), "tags": [], "when": None,
    }  # fmt: skip
    properties = definition.input_model.model_json_schema()["properties"]
    assert properties["count"] == {
        "default": 10, "exclusiveMinimum": 0, "maximum": 500, "title": "Count", "type": "integer",
    }  # fmt: skip
    assert properties["price"]["description"] == "Per piece"
    assert definition.summary == "Order things."
    for wrong in ({"count": 0}, {"count": 501}, {"tags": ["a", "b", "c"]}, {"price": "1e9"}):
        with pytest.raises(InvalidInputError) as caught:
            definition.bind((), wrong)
        assert caught.value.errors[0]["location"] == list(wrong)
    one, other = (definition.arguments(definition.bind((), {}))["tags"] for _ in range(2))
    one.append("mine")
    assert other == [], "two tasks share a default"


CLASHES = [
    "copy", "json", "dict", "schema", "validate", "construct", "parse_raw", "model_config", "model_fields",
    "model_dump", "_private", "__dunder", "self", "cls", "field_copy", "class_", "name", "function", "model_name",
]  # fmt: skip


def takes(*names: str) -> Callable[..., Any]:
    """Return a function with parameters of these names."""
    space: dict[str, Any] = {}
    exec(f"def clash({', '.join(f'{name}: int' for name in names)}): return [{', '.join(names)}]", space)  # noqa: S102 - our own words
    function: Callable[..., Any] = space["clash"]
    return function


@pytest.mark.parametrize("name", CLASHES)
def test_parameter_may_have_the_name_of_a_model_attribute(name: str) -> None:
    definition = define(takes(name), None, None)
    assert definition.encode(definition.bind((1,), {})) == f'{{"{name}":1}}'.encode()
    assert definition.arguments(definition.parse(f'{{"{name}": 2}}')) == {name: 2}
    assert definition.call(None, (), {name: "3"}) == [3]
    assert list(definition.input_model.model_json_schema()["properties"]) == [name]
    with pytest.raises(InvalidInputError) as caught:
        definition.parse(f'{{"{name}": "many"}}')
    assert caught.value.errors[0]["location"] == [name]


def test_all_those_names_at_once() -> None:
    definition = define(takes(*CLASHES), None, None)
    values = {name: number for number, name in enumerate(CLASHES)}
    assert definition.arguments(definition.bind(tuple(values.values()), {})) == values
    assert definition.call(None, (), values) == list(values.values())


def test_clashing_name_keeps_default_and_bounds() -> None:
    def clash(copy: int = Field(default=3, gt=0), json: Annotated[str, Field(max_length=2)] = "x") -> None: ...

    definition = define(clash, None, None)
    assert definition.arguments(definition.bind((), {})) == {"copy": 3, "json": "x"}
    for wrong in ({"copy": 0}, {"json": "long"}):
        with pytest.raises(InvalidInputError):
            definition.bind((), wrong)


def test_alias_is_the_name_in_json() -> None:
    def send(to: str, from_: str = Field(alias="from"), copy: bool = Field(default=False, alias="cc")) -> None: ...  # noqa: FBT001 - as users write

    definition = define(send, None, {"to": "a", "from": "b"})
    text = definition.encode(definition.bind(("a",), {"from_": "b", "copy": True}))
    assert text == b'{"to":"a","from":"b","cc":true}'
    assert definition.arguments(definition.parse(text)) == {"to": "a", "from_": "b", "copy": True}


def test_arguments_are_checked_as_python_checks_them() -> None:
    definition = define(first, None, None)
    with pytest.raises(InvalidInputError, match=r"takes 2 arguments and got 3\. They are: a, b"):
        definition.bind((1, "x", 3), {})
    with pytest.raises(InvalidInputError, match="got the argument 'a' twice"):
        definition.bind((1,), {"a": 2})
    with pytest.raises(InvalidInputError) as caught:
        definition.bind((), {"b": 5, "c": 1})
    assert [(row["location"], row["type"]) for row in caught.value.errors] == [
        (["a"], "missing"), (["b"], "string_type"), (["c"], "extra_forbidden"),
    ]  # fmt: skip
    assert caught.value.message == "The input of first is not valid: a: Field required"


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"null", b"5", b'"x"', b"\xff", b'{"a": 1', b"[" * 100_000])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInputError, match="The input of first is not valid"):
        define(first, None, None).parse(text)


def test_many_errors_are_cut() -> None:
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    with pytest.raises(InvalidInputError) as caught:
        define(total, None, None).parse('{"numbers": [' + ",".join(['"x"'] * 5_000) + "]}")
    assert len(caught.value.errors) == 100


def test_name_and_example() -> None:
    definition = define(first, "shop.orders-2.first", {"a": 1})
    assert definition.name == "shop.orders-2.first"
    assert definition.input_model.__name__ == "ShopOrders2FirstInput"
    assert definition.summary == "Shop.orders-2.first"
    assert isinstance(definition.function, types.FunctionType)
