"""A definition with every kind of field that a form can ask for."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import ipaddress
import uuid
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, HttpUrl
from typing_extensions import TypedDict

from backyard import File
from backyard.core.signature import TRAVEL


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"
    NONE = 0


class Card(BaseModel):
    kind: Literal["card"]
    number: str = Field(pattern=r"^\d{4}$")
    holder: str | None = None


class Transfer(BaseModel):
    kind: Literal["transfer"] = "transfer"
    iban: str = Field(min_length=5, max_length=34)
    urgent: bool = True


class Node(BaseModel):
    name: str
    children: list[Node] = []
    beside: Node | None = None


class Point(NamedTuple):
    x: float
    y: float


class Address(TypedDict):
    street: str
    number: int


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    known: int = 1


class Sum(BaseModel):
    left: Sum | Number
    right: Sum | Number


class Endless(BaseModel):
    next: Endless


class Number(BaseModel):
    number: int


class Everything(BaseModel):
    """Texts, numbers, times; lists, mappings, models, unions; each with and without None."""

    model_config = TRAVEL

    text: str
    short: str = Field(max_length=20)
    maybe_text: str | None
    maybe_filled: str | None = "filled"
    code: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    flag: bool
    maybe_flag: bool | None = None
    made_flag: bool = Field(default_factory=bool)
    whole: int = Field(ge=-1_000, lt=10**30)
    maybe_whole: int | None
    made_whole: int | None = Field(default_factory=lambda: 7)
    number: float
    exact: decimal.Decimal = Field(max_digits=30)
    raw: bytes
    day: dt.date
    maybe_day: dt.date | None = None
    clock: dt.time
    moment: dt.datetime
    aware: AwareDatetime | None
    length: dt.timedelta
    key: uuid.UUID
    url: HttpUrl | None = None
    address: ipaddress.IPv4Address
    colour: Colour
    maybe_colour: Colour | None = None
    word: Literal["one", 2] | None
    fixed: Literal["always"] = "always"
    nothing: None = None
    texts: list[str]
    numbers: set[int]
    maybe_list: list[int] | None
    matrix: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = []
    pair: tuple[int, str]
    point: Point
    place: Address
    counts: dict[str, int]
    by_number: dict[int, Node] = {}
    free: dict[str, Any] = {}
    payment: Annotated[Card | Transfer, Field(discriminator="kind")]
    either: Card | Transfer | None = None
    union: int | str | list[int] | bool | None
    node: Node
    sum: Sum
    open: Open = Open()
    anything: Any = None
    file: File | None = None
