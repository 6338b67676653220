from __future__ import annotations

import json
import sys
import traceback
from types import CodeType

import pytest

from backyard.console.traceback_frames import raised_in


def text_of(error: BaseException) -> str:
    return "".join(traceback.TracebackException.from_exception(error).format())


def parse_price(text: str) -> float:
    price: float = json.loads(text)
    return price


def test_own_frames_stand_apart_the_latest_first() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any will do
        parse_price("1,5,")

    (raised,) = raised_in(text_of(caught.value))

    assert [frame.function for frame in raised.own] == ["parse_price", "test_own_frames_stand_apart_the_latest_first"]
    assert raised.own[0].code.startswith("price: float = json.loads(text)")
    assert raised.own[0].file == __file__
    assert raised.own[0].line == parse_price.__code__.co_firstlineno + 1
    assert {frame.function for frame in raised.libraries} >= {"loads", "decode"}
    assert raised.text == "json.decoder.JSONDecodeError: Extra data: line 1 column 2 (char 1)"


def test_what_led_to_an_error_comes_after_it() -> None:
    def give_up() -> None:
        try:
            parse_price("x")
        except ValueError as error:
            raise KeyError("first") from error

    def lead_on() -> None:
        try:
            give_up()
        except KeyError:
            raise RuntimeError("two\nlines")  # noqa: B904 - what is shown of such a chain

    with pytest.raises(RuntimeError) as caught:
        lead_on()

    chain = raised_in(text_of(caught.value))

    assert [one.text.splitlines()[0] for one in chain] == [
        "RuntimeError: two", "KeyError: 'first'",
        "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    ]  # fmt: skip
    assert [one.link for one in chain] == ["", "While this was handled", "Because of"]
    assert chain[0].text.endswith("lines")


def test_recursion_is_bounded_and_frames_without_source_are_read() -> None:
    def again(depth: int) -> int:
        return again(depth + 1)

    with pytest.raises(RecursionError) as caught:
        again(0)
    code: CodeType = compile("1 / 0", "<string>", "exec")
    with pytest.raises(ZeroDivisionError) as made:
        exec(code)  # noqa: S102 - a frame that has no file

    (raised,) = raised_in(text_of(caught.value))
    assert 0 < len(raised.frames) <= 200
    (raised,) = raised_in(text_of(made.value))
    assert (raised.frames[0].file, raised.frames[0].code, raised.frames[0].own) == ("<string>", "", False)


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("/app/shop/orders.py", True),
        ("/opt/venv/lib/python3.12/site-packages/pandas/core/frame.py", False),
        ("/usr/lib/python3/dist-packages/yaml/__init__.py", False),
        ("/usr/lib/python3.13/json/decoder.py", False),
        (r"C:\Python312\Lib\json\decoder.py", False),
        (r"C:\work\shop\orders.py", True),
        ("<frozen importlib._bootstrap>", False),
    ],
)
def test_libraries_are_known_by_their_place(file: str, own: bool) -> None:  # noqa: FBT001 - a row of a table
    text = f'Traceback (most recent call last):\n  File "{file}", line 3, in f\n    g()\nValueError: no'

    (raised,) = raised_in(text)

    assert raised.frames[0].own is own


@pytest.mark.parametrize("text", ["", "no traceback", "ValueError: alone\n", "  + Exception Group Traceback\n  | x"])
def test_a_text_that_is_none_is_left_as_it_is(text: str) -> None:
    assert raised_in(text) == []


def test_every_python_that_runs_this_marks_its_lines() -> None:
    # The marks beneath a line belong to its code; which there are differs from Python to Python.
    with pytest.raises(ZeroDivisionError) as caught:
        _ = [number / 0 for number in (1, 2)]

    (raised,) = raised_in(text_of(caught.value))

    assert raised.frames[0].code.splitlines()[0] == "_ = [number / 0 for number in (1, 2)]", sys.version
