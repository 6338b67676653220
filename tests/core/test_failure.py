"""Failures as the record keeps them."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from backyard.core.failure import MESSAGE_LIMIT, TRACEBACK_LIMIT, failure_of
from backyard.core.models import Failure, FailureKind


def caught(function: Any, *args: Any) -> BaseException:
    try:
        function(*args)
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")


def fail(error: BaseException) -> None:
    raise error


def fail_elsewhere(error: BaseException) -> None:
    raise error


def through(filename: str, inner: Any) -> Any:
    """Return a function that calls another, and that seems to stand in some file."""
    code = compile("def frame(inner, *args):\n    return inner(*args)\n", filename, "exec")
    module = types.ModuleType("made")
    exec(code, vars(module))  # noqa: S102 - two lines, written above
    return lambda *args: module.frame(inner, *args)


def fingerprint(error: BaseException) -> str | None:
    return failure_of(error, FailureKind.ERROR).fingerprint


def test_says_what_happened() -> None:
    failure = failure_of(caught(fail, ValueError("no such customer")), FailureKind.TIMEOUT)
    assert (failure.kind, failure.type, failure.message) == ("timeout", "ValueError", "no such customer")
    assert failure.traceback is not None
    assert "in fail\n" in failure.traceback
    assert failure.traceback.endswith("ValueError: no such customer\n")


def test_equal_causes_have_one_fingerprint() -> None:
    one, other = caught(fail, ValueError("customer 1")), caught(fail, ValueError("customer 2"))
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one)


def test_other_causes_have_others() -> None:
    prints = [
        fingerprint(caught(fail, ValueError("x"))),
        fingerprint(caught(fail, KeyError("x"))),
        fingerprint(caught(fail_elsewhere, ValueError("x"))),
        fingerprint(ValueError("never raised")),
    ]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("folder", ["backyard/engine", "celery/app", "asyncio", "concurrent/futures"])
def test_machinery_is_left_out(folder: str) -> None:
    direct = caught(fail, ValueError("x"))
    wrapped = caught(through(f"/usr/lib/{folder}/machine.py", fail), ValueError("x"))
    windows = caught(through(f"C:\\lib\\{folder}\\machine.py".replace("/", "\\"), fail), ValueError("x"))
    users = caught(through("/home/me/shop/tasks.py", fail), ValueError("x"))
    assert "machine.py" not in (failure_of(wrapped, FailureKind.ERROR).traceback or "machine.py")
    assert "machine.py" not in (failure_of(windows, FailureKind.ERROR).traceback or "machine.py")
    assert "tasks.py" in (failure_of(users, FailureKind.ERROR).traceback or "")
    # The lambda that stands between is in all but the first.
    assert fingerprint(wrapped) == fingerprint(windows) != fingerprint(users) != fingerprint(direct)


def test_machinery_is_left_out_of_the_causes_too() -> None:
    def chained() -> None:
        try:
            through("/usr/lib/celery/app/machine.py", fail)(KeyError("first"))
        except KeyError as error:
            raise ValueError("second") from error

    text = failure_of(caught(chained), FailureKind.ERROR).traceback or ""
    assert "KeyError: 'first'" in text
    assert "direct cause" in text
    assert 'machine.py", line' not in text


def test_groups_show_their_members() -> None:
    group = caught(fail, ExceptionGroup("two", [caught(fail, KeyError("a")), caught(fail_elsewhere, OSError("b"))]))
    text = failure_of(group, FailureKind.ERROR).traceback or ""
    assert "KeyError: 'a'" in text
    assert "OSError: b" in text


def test_huge_text_is_cut() -> None:
    failure = failure_of(caught(fail, ValueError("x" * 5_000_000)), FailureKind.ERROR)
    assert len(failure.message) == MESSAGE_LIMIT
    assert len(failure.traceback or "") == TRACEBACK_LIMIT


def test_deep_recursion_is_described() -> None:
    def down() -> None:
        down()

    failure = failure_of(caught(down), FailureKind.ERROR)
    assert failure.type == "RecursionError"
    assert len(failure.traceback or "") < TRACEBACK_LIMIT


class Mute(Exception):  # noqa: N818 - a user's name
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [Mute(), OSError("caf\udce9"), ValueError("\x00\ud800"), SystemExit(3), Exception()])
def test_any_exception_can_be_kept(error: BaseException) -> None:
    failure = failure_of(caught(fail, error), FailureKind.ERROR)
    assert Failure.model_validate_json(failure.model_dump_json()) == failure
    assert failure.type == type(error).__name__


def test_text_stands_in_for_a_lost_traceback() -> None:
    assert failure_of(ValueError("x"), FailureKind.ERROR, "as text").traceback == "as text"
    assert failure_of(ValueError("x"), FailureKind.ERROR).traceback is None
    assert "as text" not in (failure_of(caught(fail, ValueError("x")), FailureKind.ERROR, "as text").traceback or "")
    assert sys.exc_info() == (None, None, None)
