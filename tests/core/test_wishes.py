"""Wishes: what can be asked for, and that they cross process borders."""

from __future__ import annotations

import datetime as dt
import pickle
from typing import Any

import pytest

from backyard import BackyardError, GiveUp, Retry, Snooze

MOMENT = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(0, 0.0), (1.5, 1.5), (dt.timedelta(minutes=2), 120.0), (MOMENT, MOMENT), (315_360_000, 315_360_000.0)],
)
def test_a_time_is_seconds_a_duration_or_a_moment(given: Any, kept: Any) -> None:
    assert Retry(after=given).after == Snooze(given).after == kept


@pytest.mark.parametrize(
    "given", [-1, float("nan"), float("inf"), dt.timedelta(days=-1), MOMENT.replace(tzinfo=None), 315_360_001, "soon"]
)
def test_what_cannot_be_waited_for_is_refused(given: Any) -> None:
    for wish in (lambda: Retry(after=given), lambda: Snooze(given)):
        with pytest.raises(ValueError, match=r"time zone|cannot wait|could not convert"):
            wish()


@pytest.mark.parametrize(
    "wish", [Retry(), Retry("why", after=3), Retry(after=MOMENT), Snooze(3), Snooze(MOMENT, "why"), GiveUp("why")]
)
def test_a_wish_survives_a_pickle(wish: Any) -> None:
    back = pickle.loads(pickle.dumps(wish))  # noqa: S301 - what was just written
    assert (type(back), str(back), vars(back)) == (type(wish), str(wish), vars(wish))


def test_a_wish_is_no_error_of_ours() -> None:
    assert not isinstance(Retry(), BackyardError), "who handles our errors would swallow it"
