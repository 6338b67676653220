"""A line of a task's log: its shape and its limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backyard.core.log_line import (
    CUT,
    LONGEST,
    MEMBERS,
    OWN,
    chosen,
    cut,
    cut_front,
    level_of,
    number_of,
    plain,
    write_line,
)


def line_of(message: str = "m", **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(write_line(message, "info", at=1.5, attempt=2, logger="shop", **given))
    return found


def test_a_line_says_what_when_and_where() -> None:
    assert line_of(fields={"order": 7}, exception="Traceback") == {
        "message": "m", "level": "info", "at": 1.5, "attempt": 2, "logger": "shop", "order": 7,
        "exception": "Traceback",
    }  # fmt: skip


def test_fields_do_not_take_the_place_of_what_a_line_says() -> None:
    line = line_of(fields=dict.fromkeys(OWN, "mine"))
    assert {f"{name}_": "mine" for name in OWN}.items() <= line.items()
    assert line["message"] == "m"


def test_what_is_too_long_is_cut() -> None:
    line = line_of(
        "é" * LONGEST, exception="begin" + "x" * LONGEST + "end", fields={"a": "y" * 5_000, "b": "z" * 5_000}
    )
    assert len(line["message"].encode()) <= LONGEST
    assert line["message"].endswith(CUT)
    assert line["exception"].startswith(CUT)
    assert line["exception"].endswith("xend")
    assert (line["a"], line["b"]) == ("y" * 5_000, CUT)


@given(st.text(alphabet="aé€😀", max_size=60), st.integers(12, 40))
def test_cut_keeps_to_its_bytes(text: str, longest: int) -> None:
    for made in (cut(text, longest), cut_front(text, longest)):
        assert len(made.encode()) <= longest
        assert (made == text) is (len(text.encode()) <= longest)


def test_a_secret_does_not_get_away_at_the_edge() -> None:
    secret = "very-secret"  # noqa: S105 - nobody's
    text = "x" * (LONGEST - 6) + secret
    line = line_of(
        text, scrub=lambda one: one.replace(secret, "***"), exception=text, fields={"a": {secret: [secret]}, secret: 1}
    )
    assert secret[:5] not in json.dumps(line)


NESTED: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
)


@given(NESTED, st.text())
def test_whatever_is_logged_becomes_a_line(value: Any, message: str) -> None:
    text = write_line(message, "info", at=1.0, attempt=1, logger="shop", fields={"value": value})
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert b"\n" not in text


def test_what_has_no_end_ends() -> None:
    around: list[Any] = []
    around.append(around)
    assert json.dumps(plain(around)).count("[") < 20
    many = plain(list(range(10_000)))
    assert many == [*range(MEMBERS), CUT]
    assert len(plain(dict.fromkeys(range(10_000), 1))) == MEMBERS + 1


@pytest.mark.parametrize(
    ("number", "level"),
    [(0, "debug"), (10, "debug"), (19, "debug"), (20, "info"), (25, "info"), (45, "error"), (99, "critical")],
)
def test_levels_by_number(number: int, level: str) -> None:
    assert level_of(number) == level


def test_off_is_above_all_levels() -> None:
    assert (
        number_of("debug")
        < number_of("info")
        == number_of("of somebody's own")
        < number_of("critical")
        < number_of("off")
    )


def test_lines_are_chosen() -> None:
    lines: list[dict[str, Any]] = [{"level": "info", "at": 1.0}, {"level": "error", "at": 2.0}, {"at": 3.0}]
    assert list(chosen(lines)) == lines
    assert chosen(lines, "warning") == lines[1:2]
    assert chosen(lines, after=1.0) == lines[1:]
    assert chosen(lines, limit=1) == lines[2:]
