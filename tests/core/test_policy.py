"""Policies: what is refused at declaration, and how long a retry waits."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backyard.core.errors import DefinitionError
from backyard.core.policy import Policy


def test_defaults() -> None:
    assert Policy.declared("f", {}) == Policy(
        queue="default", timeout=None, retries=0, backoff=1, backoff_max=600, priority="normal", expires=None,
        result_expires=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("option", "meant"),
    [("retrys", "retries"), ("time_out", "timeout"), ("que", "queue"), ("back_off", "backoff"), ("expire", "expires")],
)
def test_unknown_option_says_what_was_meant(option: str, meant: str) -> None:
    with pytest.raises(DefinitionError, match=rf"'f' has no option '{option}'\. Did you mean '{meant}'\?"):
        Policy.declared("f", {option: 1})


def test_strange_option_lists_all() -> None:
    with pytest.raises(DefinitionError) as caught:
        Policy.declared("f", {"zzz": 1})
    assert all(name in caught.value.message for name in Policy.model_fields)


@pytest.mark.parametrize(
    "options",
    [
        {"queue": ""}, {"queue": "a b"}, {"queue": "a:b"}, {"queue": "x" * 129}, {"queue": "a\n"},
        {"timeout": 0}, {"timeout": -1}, {"timeout": math.inf}, {"timeout": math.nan}, {"timeout": "soon"},
        {"retries": -1}, {"retries": 1_001}, {"retries": 1.5}, {"backoff": -0.1}, {"backoff": math.nan},
        {"backoff_max": -1}, {"priority": "urgent"}, {"priority": 3}, {"expires": 0}, {"result_expires": 0},
    ],
)  # fmt: skip
def test_option_out_of_bounds_is_named_with_its_value(options: dict[str, Any]) -> None:
    (name, value), *_ = options.items()
    with pytest.raises(DefinitionError) as caught:
        Policy.declared("f", options)
    assert f"{name}={value!r}: " in caught.value.message
    assert "'f'" in caught.value.message


waits = st.integers(0, 86_400_000).map(lambda milliseconds: milliseconds / 1000)


@given(waits, waits, st.integers(1, 1_000))
def test_wait_grows_to_its_cap_with_jitter_in_the_upper_half(backoff: float, most: float, attempt: int) -> None:
    policy = Policy(backoff=backoff, backoff_max=most)
    ceiling = min(most, backoff * 2.0 ** min(attempt - 1, 62))
    wait = policy.wait_before_retry(attempt)
    assert ceiling / 2 <= wait <= ceiling


def test_wait_doubles() -> None:
    policy = Policy(backoff=8, backoff_max=1_000)
    for attempt, ceiling in enumerate([8, 16, 32, 64, 128], 1):
        waits = [policy.wait_before_retry(attempt) for _ in range(200)]
        assert ceiling / 2 <= min(waits) < max(waits) <= ceiling
        assert max(waits) - min(waits) > ceiling / 10, "everyone would come back at once"


class Busy(Exception):  # noqa: N818 - what a library might raise
    """A user's own."""


class VeryBusy(Busy):
    """A closer one."""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retry_on": [3]}, "retry_on=3: Input should be a subclass of Exception"),
        ({"retry_on": int}, "retry_on=<class 'int'>: Input should be a subclass of Exception"),
        ({"give_up_on": (KeyboardInterrupt,)}, "Input should be a subclass of Exception"),
        ({"retry_on": "ValueError"}, "retry_on='ValueError': Input should be a valid tuple"),
        ({"backoff": {int: 1}}, "Input should be a subclass of Exception"),
        ({"backoff": {"other": 1}}, "Input should be 'default'"),
        ({"backoff": {ValueError: -1}}, "backoff=-1: Input should be greater than or equal to 0"),
    ],
)
def test_what_is_no_exception_is_refused_in_a_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Policy.declared("f", options)
    assert said in caught.value.message


def test_what_to_try_again_after() -> None:
    policy = Policy.declared("f", {"retry_on": (Busy, TimeoutError), "give_up_on": VeryBusy})
    assert [policy.retries_after([kind]) for kind in (Busy, VeryBusy, TimeoutError, ValueError)] == [
        True, False, True, False,
    ]  # fmt: skip
    assert policy.retries_after([ValueError, TimeoutError]), "what it counts as counts"
    assert not policy.retries_after([TimeoutError, VeryBusy])
    assert Policy().retries_after([ValueError])


def test_the_first_wait_goes_by_the_closest_class() -> None:
    policy = Policy(backoff={Busy: 7, OSError: 3, "default": 5}, jitter=False)
    kinds: list[list[type[Exception]]] = [
        [Busy],
        [VeryBusy],
        [ConnectionResetError],
        [ValueError],
        [ValueError, OSError],
    ]
    assert [policy.wait_before_retry(1, kind) for kind in kinds] == [7, 7, 3, 5, 3]
    assert policy.wait_before_retry(3, [VeryBusy]) == 28
    assert Policy(backoff={Busy: 7}, jitter=False).wait_before_retry(1, [ValueError]) == 1
    assert Policy(backoff=8, backoff_max=10, jitter=False).wait_before_retry(5) == 10


def test_a_policy_is_shown_with_the_names_of_exceptions() -> None:
    policy = Policy(retry_on=(Busy, OSError), backoff={TimeoutError: 30, "default": 1})
    shown = policy.model_dump(mode="json")
    assert shown["retry_on"] == [f"{__name__}.Busy", "OSError"]
    assert shown["backoff"] == {"TimeoutError": 30, "default": 1}
    assert Policy.model_json_schema(mode="serialization")["properties"]["retry_on"]["items"]["type"] == "string"
