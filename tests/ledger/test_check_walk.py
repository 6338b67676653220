"""The walk of the self-check: it goes on from anywhere, in bounded steps, by turns."""

from __future__ import annotations

from typing import Any

from backyard.core.states import State
from backyard.engine.check import KINDS, SLICE, Walk
from backyard.engine.message import compose
from backyard.ledger.scripts import script
from support.bench import LEASE, Bench


def test_a_walk_goes_on_from_any_place_and_from_none(bench: Bench) -> None:
    message = compose("t", "f", b"{}", queue="q", lane="normal", timelimit=(None, None))
    bench.submit("t", message=message, fields={"input": "{}"})
    bench.client.delete(bench.keys.queue("q", "normal"))
    walk = Walk(bench.run, bench.calls, LEASE)
    place, steps = "nonsense", 0
    while place:
        place = Walk(bench.run, bench.calls, LEASE).step(place)
        steps += 1
    assert bench.state("t") is State.PENDING
    assert walk.step('["unknown", 3]')
    (taken,) = bench.take()
    assert bench.start("t", taken.tag).attempt == 1


def test_workers_take_turns(bench: Bench) -> None:
    assert bench.run(bench.calls.check_turn(60)) == ""
    bench.run(bench.calls.check_place('["due", 200]'))
    assert bench.run(bench.calls.check_turn(60)) is None
    assert bench.run(bench.calls.check_turn(0)) == '["due", 200]'


def test_each_step_is_bounded(bench: Bench) -> None:
    limit = SLICE
    for number in range(limit * 2 + 1):
        bench.submit(f"n{number}", due="+100000")
    calls: list[Any] = []

    def run(call: Any) -> Any:
        calls.append(call)
        return bench.run(call)

    assert Walk(run, bench.calls, LEASE).all().looked["tasks"] >= limit * 2 + 1
    tasks = [call for call in calls if call.script and call.script.name == "check_tasks"]
    assert all((len(call.words) - 3) / 3 <= limit for call in tasks)


def test_what_can_be_found_is_described() -> None:
    """The legend has no kind that no script names; the report shows each by its line of the legend."""
    text = "".join(script(f"check_{name}").text for name in ("tasks", "lane", "consumers", "due", "limits", "keys"))
    assert {kind for kind in KINDS if f"'{kind}'" not in text} == set()
