"""Limits in a declaration: what they mean, and what is refused with a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from backyard.core.definition import define
from backyard.core.errors import DefinitionError
from backyard.core.limits import Rate, key_of, read_rate, unique_digest, value_at


class Customer(BaseModel):
    id: int
    name: str = "n"


class Order(BaseModel):
    customer: Customer
    extra: dict[str, Any] = {}


def ship(order: Order, number: int = 3, places: list[str] = []) -> None:  # noqa: B006 - a default like any other
    """Do nothing."""


def declared(**options: Any) -> Any:
    return define(ship, None, None, **options)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(0.1, 10)),
        ("100/m", Rate(0.6, 2)),
        ("30/h", Rate(120, 1)),
        ("100/m burst 20", Rate(0.6, 20)),
        ("1/s burst 1", Rate(1, 1)),
    ],
)
def test_rates(text: str, rate: Rate) -> None:
    assert read_rate(text) == rate
    assert declared(rate=text).policy.rate == text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rate": "fast"}, r"rate='fast': .*write a number and a unit"),
        ({"rate": "0/s"}, "write a number and a unit"),
        ({"rate": "10/d"}, "write a number and a unit"),
        ({"rate": "10/s burst 0"}, "write a number and a unit"),
        ({"rate": "10/s "}, "write a number and a unit"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency_per_key": 2}, "without concurrency_key"),
        ({"concurrency_key": "number", "concurrency_per_key": 0}, "concurrency_per_key=0"),
        ({"concurrency_key": "customer"}, "no parameter 'customer'. Its parameters are: order, number, places"),
        ({"concurrency_key": "order.client"}, "Order has no field 'client'. Its fields are: customer, extra"),
        ({"concurrency_key": "order.customer.mail"}, "Customer has no field 'mail'"),
        ({"concurrency_key": "number.digits"}, "what stands before 'digits' is no model"),
        ({"concurrency_key": ""}, "concurrency_key=''"),
        ({"unique": "always"}, "unique='always'"),
        ({"unique": 0}, "unique=0"),
        ({"unique_key": ["number"]}, "unique_key without unique"),
        ({"unique": "until_done", "unique_key": ["nobody"]}, "no parameter 'nobody'"),
        ({"unique": "until_done", "unique_key": []}, "unique_key"),
        ({"concurency": 1}, "Did you mean 'concurrency'"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        declared(**options)


@pytest.mark.parametrize("path", ["order", "number", "order.customer.id", "order.extra.anything.else", "places"])
def test_paths_that_may_lead_somewhere(path: str) -> None:
    assert declared(concurrency_key=path).policy.concurrency_key == path
    assert declared(unique="until_done", unique_key=path).policy.unique_key == (path,)


@pytest.mark.parametrize("unique", ["until_start", "until_done", 60, 0.5])
def test_ways_to_be_unique(unique: Any) -> None:
    assert declared(unique=unique).policy.unique == unique


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("number", 3),
        ("order.customer.id", 7),
        ("order.customer.name", "n"),
        ("order.extra.a", 1),
        ("order.extra.b", None),
        ("order.extra.a.deeper", None),
    ],
)
def test_values_are_found_with_defaults(path: str, value: Any) -> None:
    definition = declared()
    model = definition.bind((), {"order": {"customer": {"id": 7}, "extra": {"a": 1}}})
    assert value_at(definition.shape, model, path) == value


@pytest.mark.parametrize(("value", "key"), [(7, "7"), ("eu-1", "eu-1"), (None, "null"), (True, "true")])
def test_plain_values_are_read_in_a_limits_name(value: Any, key: str) -> None:
    assert key_of(value) == key


def test_other_values_are_hashed() -> None:
    keys = {key_of(value) for value in ("two words", "a:b", "", "x" * 65, [1, 2], {"a": 1}, Customer(id=1))}
    assert len(keys) == 7
    assert all(key.startswith("~") and " " not in key for key in keys)


def test_only_the_named_fields_make_tasks_alike() -> None:
    definition = declared(unique="until_done", unique_key=["order.customer.id"])
    same: Callable[..., str] = lambda **fields: digest_of(definition, ["order.customer.id"], **fields)  # noqa: E731 - short
    assert same(id=1, name="a") == same(id=1, name="b") != same(id=2, name="a")
    assert digest_of(definition, None, id=1, name="a") != digest_of(definition, None, id=1, name="b")


def digest_of(definition: Any, paths: list[str] | None, **customer: Any) -> str:
    model = definition.bind((), {"order": {"customer": customer}})
    return unique_digest(definition.shape, model, paths, definition.encode(model))
