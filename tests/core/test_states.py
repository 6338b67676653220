"""The state table under verbs in any order, doubled, late, from any attempt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backyard.core.states import FINAL, MOVES, RUNNING, WAITING, Standing, State, Verb, diagram, move

FENCED = {Verb.PROGRESS, Verb.SUCCEED, Verb.FAIL, Verb.RETRY, Verb.STOP, Verb.LOSE}

standings = st.builds(Standing, st.sampled_from(State), st.integers(0, 5))
spoken = st.tuples(st.sampled_from(Verb), st.one_of(st.none(), st.integers(-1, 6)))

#: The design's table, written down a second time: who puts a task in, who takes it out.
DESIGN = {
    (State.SCHEDULED, Verb.PROMOTE): State.PENDING,
    (State.SCHEDULED, Verb.CANCEL): State.REVOKED,
    (State.SCHEDULED, Verb.EXPIRE): State.FAILURE,
    (State.PENDING, Verb.PUT_OFF): State.SCHEDULED,
    (State.PENDING, Verb.START): State.STARTED,
    (State.PENDING, Verb.CANCEL): State.REVOKED,
    (State.PENDING, Verb.EXPIRE): State.FAILURE,
    (State.RETRY, Verb.PROMOTE): State.PENDING,
    (State.RETRY, Verb.CANCEL): State.REVOKED,
    (State.RETRY, Verb.EXPIRE): State.FAILURE,
    **{
        (state, verb): to
        for state in (State.STARTED, State.PROGRESS)
        for verb, to in {
            Verb.PROGRESS: State.PROGRESS,
            Verb.SUCCEED: State.SUCCESS,
            Verb.FAIL: State.FAILURE,
            Verb.RETRY: State.RETRY,
            Verb.STOP: State.REVOKED,
            Verb.LOSE: State.PENDING,
        }.items()
    },
}


def test_table_is_the_designs() -> None:
    table = {(state, verb): row.enters for verb, row in MOVES.items() for state in row.leaves}
    assert table == DESIGN
    assert {verb for verb, row in MOVES.items() if row.fenced} == FENCED


def test_each_state_is_of_one_kind() -> None:
    assert set(State) == WAITING | RUNNING | FINAL
    assert len(WAITING) + len(RUNNING) + len(FINAL) == len(State)


@given(standings, spoken)
def test_move_is_the_table_and_the_fence(standing: Standing, said: tuple[Verb, int | None]) -> None:
    verb, attempt = said
    after = move(standing, verb, attempt)
    to = DESIGN.get((standing.state, verb))
    if to is None or (verb in FENCED and attempt != standing.attempt):
        assert after is None
    else:
        assert after == Standing(to, standing.attempt + (1 if verb is Verb.START else 0))


@given(st.sampled_from([State.PENDING, State.SCHEDULED]), st.lists(spoken, max_size=60))
def test_any_order_of_verbs_keeps_the_promises(first: State, said: list[tuple[Verb, int | None]]) -> None:
    standing = Standing(first, 0)
    starts = 0
    for verb, attempt in said:
        after = move(standing, verb, attempt)
        if after is None:
            continue
        assert standing.state not in FINAL, "a final state changed"
        assert not (verb in FENCED and attempt != standing.attempt), "a stale attempt was heard"
        starts += verb is Verb.START
        assert after.attempt == starts, "an attempt's number comes from a start, and from nothing else"
        assert after.state not in RUNNING or after.attempt >= 1
        standing = after


@given(standings, spoken)
def test_said_twice_is_applied_once(standing: Standing, said: tuple[Verb, int | None]) -> None:
    verb, attempt = said
    after = move(standing, verb, attempt)
    if after is not None and verb is not Verb.PROGRESS:
        assert move(after, verb, attempt) is None


@pytest.mark.parametrize("state", sorted(set(State) - FINAL))
def test_every_state_leads_to_each_final_one(state: State) -> None:
    reached = {Standing(state, 1)}
    waiting = list(reached)
    while waiting:
        standing = waiting.pop()
        for verb in Verb:
            after = move(standing, verb, standing.attempt)
            if after is not None and after.attempt < 4 and after not in reached:
                reached.add(after)
                waiting.append(after)
    assert {standing.state for standing in reached} >= FINAL


def test_diagram_draws_every_row_once() -> None:
    lines = [line.strip() for line in diagram().splitlines()]
    for (state, verb), to in DESIGN.items():
        assert lines.count(f"{state} --> {to}: {verb}") == 1
    assert {line for line in lines if line.endswith("--> [*]")} == {f"{state} --> [*]" for state in FINAL}
    assert len(lines) == 3 + len(DESIGN) + len(FINAL)
