"""The stream that tells open pages what to look at anew."""

from __future__ import annotations

import asyncio

import pytest

from backyard import Backyard
from backyard.console import live


def test_the_clock_comes_soon_and_then_every_few_looks(new_yard: Backyard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSE", 0.2)

    async def beats() -> list[int]:
        told = live.Live(new_yard)
        found = []
        stream = told._stream("")
        async for text in stream:
            if "clock" in text:
                found.append(told._beat)
            if len(found) == 3:
                break
        await stream.aclose()
        await new_yard.close()
        return found

    first, second, third = asyncio.run(beats())
    assert first == 2, "what somebody has just set off shows soon"
    assert (second - first, third - second) == (5, 5)
