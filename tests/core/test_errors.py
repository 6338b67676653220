"""Errors cross process borders, and their tree is drawn at the top of their file."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

from backyard.core import errors
from backyard.core.errors import BackyardError

CLASSES = sorted(
    (one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, BackyardError)),
    key=lambda one: one.__name__,
)
EXTRAS: dict[str, dict[str, Any]] = {
    "InvalidInputError": {"errors": [{"location": ["a", 0], "message": "wrong", "type": "int"}]},
    "TaskFailedError": {"failure": {"kind": "error", "type": "ValueError"}},
    "LedgerUnavailableError": {"task_id": "0198-abc", "task_ids": ["0198-abc", "0198-abd"]},
}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_error_survives_a_pickle_with_all_it_carries(kind: type[BackyardError]) -> None:
    extras = EXTRAS.get(kind.__name__, {})
    error = kind("It broke. Mend it.", *extras.values())
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - what was just written
    assert type(back) is kind
    assert str(back) == back.message == "It broke. Mend it."
    assert vars(back) == vars(error)
    for name, value in extras.items():
        assert getattr(back, name) == value


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_tree_names_class_and_status(kind: type[BackyardError]) -> None:
    (line,) = [line for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line.split()]
    shown = next(word for word in line.split() if word.isdigit() or word == "-")
    assert shown == ("-" if kind.status == 500 and kind is not BackyardError else str(kind.status))


def test_codes_tell_errors_apart() -> None:
    codes = [kind.code for kind in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)
    assert all(kind.title and not kind.title.endswith(".") for kind in CLASSES)


def test_not_finished_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        raise errors.NotFinishedError("Not yet.")
