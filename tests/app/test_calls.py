"""Definitions called directly, and the context that a call without a server gets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from backyard import Backyard, Context
from backyard.core.errors import DefinitionError, InvalidInputError
from support.trials import TYPED


def test_a_call_runs_here_and_checks_its_arguments(new_yard: Backyard) -> None:
    @new_yard.task
    def double(number: int, text: str = "x") -> str:
        return text * number * 2

    assert double(2) == "xxxx"
    assert double(1, text="ab") == "abab"
    assert double("3") == "xxxxxx"
    with pytest.raises(InvalidInputError, match="number"):
        double("many")
    assert new_yard.ledger.client.keys(f"{new_yard.ledger.keys.prefix}task:*") == []


def test_an_async_call_returns_its_coroutine(new_yard: Backyard) -> None:
    @new_yard.task
    async def later(number: int) -> int:
        await asyncio.sleep(0)
        return number

    assert asyncio.run(later(3)) == 3


def test_a_context_is_made_or_taken(new_yard: Backyard, tmp_path: Path) -> None:
    @new_yard.task
    def work(ctx: Context, count: int) -> int:
        for number in ctx.track(range(count), message="working"):
            ctx.log("at", number=number)
        assert not ctx.cancelled
        ctx.save("out.txt", "text")
        return ctx.attempt

    assert work(3) == 1
    context = Context.local(tmp_path)
    assert work(context, 3) == 1
    assert work(3, ctx=context) == 1
    assert context.reports[-1].percent == 100.0
    assert [line["number"] for line in context.lines] == [0, 1, 2, 0, 1, 2]
    saved = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"text"]
    assert saved
    context.close()


def test_names_are_the_functions_own_and_unique(new_yard: Backyard) -> None:
    def make(number: int) -> Any:
        def same(a: int) -> int:
            """Say so."""
            return a + number

        return same

    task = new_yard.task(make(1))
    assert (task.name, task.__name__, task.__doc__) == ("same", "same", "Say so.")
    assert new_yard.celery.tasks["same"].name == "same"

    def other(a: int) -> int:
        return a

    with pytest.raises(DefinitionError, match="Two functions are registered as 'same'"):
        new_yard.task(name="same")(other)
    with pytest.raises(DefinitionError, match="Did you mean 'retries'"):
        new_yard.task(retires=3)(other)
    with pytest.raises(DefinitionError, match="yard's name"):
        Backyard("no spaces")


def test_listeners_hear_of_all_definitions(new_yard: Backyard) -> None:
    first = new_yard.task(TYPED[0][0])
    heard: list[str] = []
    new_yard.on_define(lambda definition: heard.append(definition.name))
    new_yard.task(TYPED[2][0])
    assert heard == [first.name, "on_loop"]
