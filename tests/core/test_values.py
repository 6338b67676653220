"""Values of every kind travel as JSON and come back as their own types, as inputs and as results."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import math
import uuid
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from annotated_types import Ge, Le
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, with_config
from pydantic_core import PydanticSerializationError
from typing_extensions import TypedDict

from backyard.core.definition import Definition, define
from backyard.core.errors import InvalidInputError
from backyard.core.models import File

TRAVELS = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings")


class Color(enum.Enum):
    RED = "red"
    BLUE = 2


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Word(enum.StrEnum):
    YES = "yes"


class Point(NamedTuple):
    x: int
    y: int = 0


class Line(BaseModel):
    start: Point
    color: Color = Color.RED
    note: str | None = None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class Blob(BaseModel):
    model_config = TRAVELS
    data: bytes
    score: float = 0.0


@dataclasses.dataclass
class Box:
    width: int
    when: dt.date
    raw: bytes = b""
    most: float = math.inf
    inner: dict[str, list[int]] = dataclasses.field(default_factory=dict)


@with_config(TRAVELS)
class Row(TypedDict):
    key: uuid.UUID
    data: bytes


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
moments = st.datetimes(
    timezones=st.one_of(st.none(), offsets),
    # Without a zone, as the strategy wants its bounds; a day from the ends, so that any offset fits.
    min_value=dt.datetime.min + dt.timedelta(days=1),  # noqa: DTZ901 - see above
    max_value=dt.datetime.max - dt.timedelta(days=1),  # noqa: DTZ901 - the same
)
texts = st.text()
numbers = st.integers()
prices = st.decimals(allow_nan=False, allow_infinity=False)
points = st.builds(Point, st.integers(), st.integers())
lines = st.builds(Line, start=points, color=st.sampled_from(Color), note=st.none() | texts)
cats, dogs = st.builds(Cat, lives=st.integers()), st.builds(Dog, name=texts)
trees = st.recursive(
    st.builds(Tree, value=st.integers()),
    lambda inner: st.builds(Tree, value=st.integers(), children=st.lists(inner, max_size=3)),
    max_leaves=6,
)
blobs = st.builds(Blob, data=st.binary(), score=st.floats(allow_nan=False))
boxes = st.builds(
    Box,
    width=st.integers(),
    when=st.dates(),
    raw=st.binary(),
    most=st.floats(allow_nan=False),
    inner=st.dictionaries(texts, st.lists(st.integers(), max_size=3)),
)
rows: st.SearchStrategy[Any] = st.fixed_dictionaries({"key": st.uuids(), "data": st.binary()})
plain: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)

KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (bool, st.booleans()),
    (int, st.integers()),
    (float, st.floats()),
    (str, texts),
    (bytes, st.binary()),
    (None, st.none()),
    (Any, plain),
    (complex, st.complex_numbers(allow_nan=False, allow_infinity=False)),
    (decimal.Decimal, prices),
    (dt.datetime, moments),
    (dt.date, st.dates()),
    (dt.time, st.times()),
    (dt.timedelta, st.timedeltas(dt.timedelta(days=-99_999), dt.timedelta(days=99_999))),
    (uuid.UUID, st.uuids()),
    (ipaddress.IPv4Address, st.ip_addresses(v=4)),
    (PurePosixPath, st.lists(st.text("abc.", min_size=1), min_size=1).map(lambda parts: PurePosixPath(*parts))),
    (Color, st.sampled_from(Color)),
    (Size, st.sampled_from(Size)),
    (Word, st.sampled_from(Word)),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (Point, points),
    (Line, lines),
    (list[Line], st.lists(lines, max_size=3)),
    (dict[str, Line | None], st.dictionaries(texts, st.none() | lines, max_size=3)),
    (Cat | Dog, cats | dogs),
    (Pet, cats | dogs),
    (list[Pet], st.lists(cats | dogs, max_size=3)),
    (Tree, trees),
    (Blob, blobs),
    (list[Blob], st.lists(blobs, max_size=3)),
    (Box, boxes),
    (list[Box] | None, st.none() | st.lists(boxes, max_size=3)),
    (Row, rows),
    (list[Row], st.lists(rows, max_size=3)),
    (int | str, st.integers() | texts),
    (str | int | None, st.integers() | texts | st.none()),
    (int | float, st.integers() | st.floats(allow_nan=False, allow_infinity=False)),
    (bool | int | str, st.booleans() | st.integers() | texts),
    (list[int] | dict[str, int], st.lists(numbers) | st.dictionaries(texts, numbers)),
    (set[int], st.sets(st.integers())),
    (frozenset[str], st.frozensets(texts)),
    (tuple[int, str], st.tuples(st.integers(), texts)),
    (tuple[bytes, ...], st.lists(st.binary(), max_size=3).map(tuple)),
    (list[bytes | None], st.lists(st.none() | st.binary(), max_size=3)),
    (dict[int, bytes], st.dictionaries(st.integers(), st.binary(), max_size=3)),
    (dict[bytes, int], st.dictionaries(st.binary(), st.integers(), max_size=3)),
    (dict[uuid.UUID, dt.date], st.dictionaries(st.uuids(), st.dates(), max_size=3)),
    (dict[dt.date, decimal.Decimal], st.dictionaries(st.dates(), prices, max_size=3)),
    (File, st.builds(File, id=st.text(min_size=1, max_size=64))),
    (Annotated[int, Ge(0), Le(9)], st.integers(0, 9)),
]  # fmt: skip


def make(kind: Any) -> Definition:
    def carry(value, other=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - annotated below
        """Carry a value."""

    carry.__annotations__ = {"value": kind, "other": int | None, "return": kind}
    return define(carry, None, None)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of one type, all the way down; NaN is NaN."""
    if type(one) is not type(other):
        return isinstance(one, dt.tzinfo) and isinstance(other, dt.tzinfo)
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, BaseModel | list | tuple):
        mine, theirs = list(one), list(other)
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    # A Decimal's text also tells 1.0 from 1.00, and a datetime's its offset.
    return bool(one == other) and (str(one) == str(other) or not isinstance(one, decimal.Decimal | dt.datetime))


@pytest.mark.parametrize(
    ("kind", "values"), KINDS, ids=lambda one: str(one) if not isinstance(one, st.SearchStrategy) else ""
)
@settings(max_examples=25)
@given(data=st.data())
def test_value_travels_and_comes_back_as_its_own_type(
    kind: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    definition = DEFINITIONS.setdefault(str(kind), make(kind))
    value = data.draw(values)
    text = definition.encode(definition.bind((value,), {}))
    arguments = definition.arguments(definition.parse(text))
    assert arguments.keys() == {"value", "other"}
    assert same(arguments["value"], value), "the input is another"
    assert definition.encode(definition.parse(text)) == text or isinstance(value, set | frozenset)
    assert same(definition.decode_result(definition.encode_result(value)), value), "the result is another"


DEFINITIONS: dict[str, Definition] = {}


@pytest.mark.parametrize("text", ['"Infinity"', '"-Infinity"', '"NaN"', "NaN", "Infinity"])
def test_numbers_that_json_lacks_come_as_words(text: str) -> None:
    definition = make(float)
    value = definition.arguments(definition.parse(f'{{"value": {text}}}'))["value"]
    assert same(value, float(text.strip('"')))


class Loose(BaseModel):
    score: float | None = None


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_number_that_would_turn_into_null_is_refused_with_the_remedy(value: float) -> None:
    definition = make(list[Loose])
    with pytest.raises(InvalidInputError, match="ser_json_inf_nan='strings'"):
        definition.encode(definition.bind(([Loose(score=value)],), {}))
    with pytest.raises(PydanticSerializationError, match="ser_json_inf_nan='strings'"):
        definition.encode_result([Loose(), Loose(score=value)])
    assert definition.encode_result([Loose(), Loose(score=1)]) == b'[{"score":null},{"score":1.0}]'


def test_text_that_is_no_unicode_is_refused_at_the_door() -> None:
    for definition in (make(str), make(Any)):
        with pytest.raises(InvalidInputError, match="cannot travel as JSON"):
            definition.encode(definition.bind(("\ud800",), {}))


def test_value_of_no_json_type_is_refused_at_the_door() -> None:
    definition = make(Any)
    circle: list[Any] = []
    circle.append(circle)
    for value in (object(), circle, {"deep": {1, object()}}):
        with pytest.raises(InvalidInputError, match=r"The input of carry cannot travel as JSON"):
            definition.encode(definition.bind((value,), {}))


def test_result_of_another_type_is_refused() -> None:
    with pytest.raises(ValidationError):
        make(int).encode_result("many")
    with pytest.raises(PydanticSerializationError):
        make(Any).encode_result(object())
