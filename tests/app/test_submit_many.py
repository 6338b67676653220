"""Many submits at once, and what a caller can do when the answer to some of them is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from backyard import Backyard
from backyard.core.errors import IdempotencyConflictError, InvalidInputError, LedgerUnavailableError
from backyard.submit import AHEAD, TOGETHER
from backyard.typed import TypedTask

INPUTS = [{"a": number} for number in range((AHEAD + 5) * TOGETHER)]


@pytest.fixture
def add(new_yard: Backyard) -> TypedTask[Any, int]:
    @new_yard.task
    def add(a: int, b: int = 2) -> int:
        return a + b

    return add


def made(yard: Backyard) -> int:
    client: Any = yard.ledger.client
    return int(client.zcard(f"{yard.ledger.keys.prefix}tasks"))


def run(yard: Backyard, task: Any, inputs: Sequence[Any] = INPUTS, **more: Any) -> list[Any]:
    async def submit() -> list[Any]:
        try:
            return list(await task.submit_many(inputs, **more))
        finally:
            await yard.close()

    return asyncio.run(submit())


def lose_answer(yard: Backyard, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the answer to one of the coming calls be lost, once."""
    send, calls = yard.ledger.asubmit, iter(range(number, -1, -1))

    async def asubmit(ready: Any) -> Any:
        answer = await send(ready)
        if next(calls, -1) == 0:
            raise LedgerUnavailableError("The answer was lost.")
        return answer

    monkeypatch.setattr(yard.ledger, "asubmit", asubmit)


def more_or_less(sent: int, number: int) -> list[int]:
    """Return how many may have been made: some parts behind the one whose answer is lost may be under way as well.

    Counting what is there would not tell: the server may have heard of one, and come to it later.
    """
    return [sent + more * TOGETHER for more in range(AHEAD + 1 if number else 1)]


def test_many_are_made_in_their_order(new_yard: Backyard, add: Any) -> None:
    handles = run(new_yard, add)
    assert len({handle.task_id for handle in handles}) == made(new_yard) == len(INPUTS)
    assert [handle.status_sync().input["a"] for handle in handles[:: TOGETHER // 2]] == [
        one["a"] for one in INPUTS[:: TOGETHER // 2]
    ]
    new_yard.ledger.close()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_error_has_the_ids_that_make_repeating_safe(
    new_yard: Backyard, add: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    lose_answer(new_yard, monkeypatch, number)
    with pytest.raises(LedgerUnavailableError, match=f"{number * TOGETHER} were accepted for certain") as caught:
        run(new_yard, add)
    handles = run(new_yard, add, task_ids=caught.value.task_ids)
    assert [handle.task_id for handle in handles] == caught.value.task_ids
    assert [handle.created for handle in handles].count(False) in more_or_less((number + 1) * TOGETHER, number)
    assert made(new_yard) == len(INPUTS)
    new_yard.ledger.close()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_key_makes_repeating_safe(new_yard: Backyard, add: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    keyed = add.with_options(idempotency_key="k", tags=["t"])
    lose_answer(new_yard, monkeypatch, number)
    with pytest.raises(LedgerUnavailableError):
        run(new_yard, keyed)
    handles = run(new_yard, keyed)
    assert [handle.created for handle in handles].count(False) in more_or_less(1 + number * TOGETHER, number)
    assert len({handle.task_id for handle in handles}) == made(new_yard) == len(INPUTS)
    again = run(new_yard, keyed)
    assert [handle.task_id for handle in again] == [handle.task_id for handle in handles]
    new_yard.ledger.close()


def test_a_key_of_another_batch_makes_nothing(new_yard: Backyard, add: Any) -> None:
    keyed = add.with_options(idempotency_key="k")
    run(new_yard, keyed, INPUTS[:2])
    for other in (INPUTS, INPUTS[:1], INPUTS[1::-1], [INPUTS[0], {"a": 5}]):
        with pytest.raises(IdempotencyConflictError, match="'k' made task"):
            run(new_yard, keyed, other)
    assert made(new_yard) == 2
    new_yard.ledger.close()


@pytest.mark.parametrize("task_ids", [["a"], ["a", "a"], ["a", "b", "c"], ["a", "b c"]])
def test_ids_are_one_for_each(new_yard: Backyard, add: Any, task_ids: list[str]) -> None:
    with pytest.raises(InvalidInputError):
        run(new_yard, add, INPUTS[:2], task_ids=task_ids)
    with pytest.raises(InvalidInputError, match="task_ids"):
        run(new_yard, add.with_options(task_id="x"), INPUTS[:2])
    with pytest.raises(InvalidInputError):
        run(new_yard, add, [{"a": 1}, {"a": "x"}])
    assert run(new_yard, add, []) == []
    assert made(new_yard) == 0
    new_yard.ledger.close()


def test_expiry_counts_from_when_a_task_is_due(new_yard: Backyard, add: Any) -> None:
    (one,) = run(new_yard, add.with_options(delay=600, expires=60), INPUTS[:1])
    (now,) = run(new_yard, add.with_options(expires=60), INPUTS[:1])
    record = new_yard.ledger.record(one.task_id)
    assert record.number("expires") == record.number("due") + 60_000
    record = new_yard.ledger.record(now.task_id)
    assert record.number("expires") == record.number("created") + 60_000
    new_yard.ledger.close()
