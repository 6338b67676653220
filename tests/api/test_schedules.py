"""``/schedules``: made, changed, paused, looked at; and what cannot work is refused with its field."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from backyard import Backyard, Settings
from backyard.core.errors import ScheduleConflictError, UnknownScheduleError
from backyard.core.schedule import parse_spec
from support.web import problem_in

DAILY = {"name": "add", "cron": "0 7 * * mon-fri", "tz": "Europe/Berlin", "input": {"a": 1}}


@pytest.fixture
def yard(stack_environment: dict[str, str]) -> Iterator[Backyard]:
    """The yard of the shared API, in this process."""
    yard = Backyard(
        stack_environment["TEST_YARD"], settings=Settings(redis_url=stack_environment["BACKYARD_REDIS_URL"])
    )

    @yard.task
    def add(a: int, b: int = 2) -> int:
        return a + b

    yield yard
    yard.ledger.close()


@pytest.fixture
def schedule_id(client: httpx2.Client) -> Iterator[str]:
    """A schedule that the test may do anything to."""
    chosen = f"s{uuid.uuid4().hex[:10]}"
    answer = client.post("/schedules", json={**DAILY, "schedule_id": chosen})
    assert answer.status_code == 201, answer.text
    yield chosen
    client.delete(f"/schedules/{chosen}")


def test_a_schedule_is_made_and_seen(client: httpx2.Client) -> None:
    answer = client.post("/schedules", json={**DAILY, "overlap": "queue", "tags": ["x"], "note": "For the office"})
    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/schedules/{body['schedule_id']}"
    assert body["schedule_id"].startswith("add-")
    assert (body["status"], body["source"], body["overlap"], body["input"]) == ("active", "api", "queue", {"a": 1})
    assert body["description"] == "At 07:00 on Monday through Friday (Europe/Berlin)"
    assert (body["fired"], body["missed"], body["skipped"], body["waiting"]) == (0, 0, 0, 0)
    assert client.get(answer.headers["location"]).json() == body
    assert body in client.get("/schedules").json()
    assert client.delete(answer.headers["location"]).status_code == 204
    problem_in(client.get(answer.headers["location"]), 404, "unknown_schedule")


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"cron": "0 7 * *"}, "cron", "4 fields"),
        ({"cron": "0 0 30 2 *"}, "cron", "days that its months have"),
        ({"tz": "Europe/Berlni"}, "tz", "Did you mean 'Europe/Berlin'"),
        ({"cron": None, "at": "2026-02-30T12:00:00Z"}, "at", "day value"),
        ({"cron": None, "at": "2020-01-01T00:00:00Z"}, "at", "is over"),
        ({"cron": None}, "cron", "none is given"),
        ({"every": 5}, "every", "there are cron and every"),
        ({"start": "2090-01-02T00:00:00Z", "end": "2090-01-01T00:00:00Z"}, "end", "before it starts"),
        ({"jitter": 86_400}, "jitter", "86400 s between two ticks"),
        ({"input": {"a": "one"}}, "input.a", "valid integer"),
        ({"input": {}}, "input.a", "required"),
        ({"input": [1]}, "input", "dictionary"),
        ({"color": "red"}, "color", "no such field"),
        ({"tags": ["x" * 200]}, "tags", "characters"),
        ({"overlap": "never"}, "overlap", "'skip'"),
        ({"name": 3}, "name", "string"),
        ({"self": 1}, "self", "no such field"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_field(
    client: httpx2.Client, schedule_id: str, changes: dict[str, Any], field: str, said: str
) -> None:
    before = client.get(f"/schedules/{schedule_id}").json()
    wanted = {name: value for name, value in {**DAILY, **changes}.items() if value is not None}
    for answer in (client.post("/schedules", json=wanted), client.post("/schedules/preview", json=wanted)):
        body = problem_in(answer, 422, "invalid_input")
        (row,) = body["errors"]
        assert ".".join(map(str, row["location"])) == field
        assert said in row["message"]
    if changes not in ({"cron": None}, {"every": 5}):  # these two are no mistake in a change
        body = problem_in(client.patch(f"/schedules/{schedule_id}", json=wanted), 422, "invalid_input")
        assert ".".join(map(str, body["errors"][0]["location"])) == field
    assert client.get(f"/schedules/{schedule_id}").json() == before


def test_other_requests_that_cannot_work(client: httpx2.Client, schedule_id: str) -> None:
    problem_in(client.post("/schedules", json={**DAILY, "name": "ad"}), 404, "unknown_definition")
    problem_in(client.post("/schedules", json={**DAILY, "schedule_id": "a b"}), 422, "invalid_input")
    problem_in(client.post("/schedules", json={**DAILY, "schedule_id": 7}), 422, "invalid_input")
    problem_in(client.post("/schedules", json={**DAILY, "schedule_id": schedule_id}), 409, "schedule_conflict")
    problem_in(client.post("/schedules", json=[1]), 422, "invalid_input")
    twice = {"content": b'{"name": "add", "name": "b"}', "headers": {"content-type": "application/json"}}
    problem_in(client.post("/schedules", **twice), 422, "invalid_input")  # type: ignore[arg-type]  # a mapping of several types
    problem_in(
        client.post("/schedules", content=b"{}", headers={"content-type": "text/plain"}), 415, "wrong_content_type"
    )
    problem_in(client.post("/schedules", json={**DAILY, "note": "x" * 10_000_000}), 413, "too_large")
    for verb in ("pause", "resume", "run"):
        problem_in(client.post(f"/schedules/nobody/{verb}"), 404, "unknown_schedule")
    problem_in(client.patch("/schedules/nobody", json={}), 404, "unknown_schedule")
    problem_in(client.delete("/schedules/nobody"), 404, "unknown_schedule")
    problem_in(client.get("/schedules/nobody/next"), 404, "unknown_schedule")
    problem_in(client.get(f"/schedules/{schedule_id}/next", params={"count": 0}), 422, "invalid_request")


def test_a_schedule_is_changed_and_keeps_what_is_not_named(client: httpx2.Client, schedule_id: str) -> None:
    changed = client.patch(f"/schedules/{schedule_id}", json={"every": 3_600, "input": {"a": 5}})
    body = changed.json()
    assert changed.status_code == 200
    assert (body["every"], body["cron"], body["tz"], body["input"]) == (3_600, None, "Europe/Berlin", {"a": 5})
    assert body["description"] == "Every 1 h"
    assert client.get(f"/schedules/{schedule_id}").json() == body
    same = client.patch(f"/schedules/{schedule_id}", json={"note": "new"}).json()
    assert (same["note"], same["next_tick"]) == ("new", body["next_tick"])


def test_the_next_ticks_are_shown(client: httpx2.Client, schedule_id: str) -> None:
    body = client.get(f"/schedules/{schedule_id}/next").json()
    assert len(body["ticks"]) == 10
    assert all("T07:00:00+0" in tick["local"] for tick in body["ticks"])
    assert body["ticks"][0]["at"] == client.get(f"/schedules/{schedule_id}").json()["next_tick"]
    assert len(client.get(f"/schedules/{schedule_id}/next", params={"count": 3}).json()["ticks"]) == 3


def test_a_preview_makes_nothing(client: httpx2.Client) -> None:
    before = client.get("/schedules").json()
    body = client.post("/schedules/preview", json={**DAILY, "jitter": 60}, params={"count": 2}).json()
    assert body["description"] == "At 07:00 on Monday through Friday (Europe/Berlin)"
    assert len(body["ticks"]) == 2
    assert client.get("/schedules").json() == before


def test_a_schedule_rests_and_goes_on(client: httpx2.Client, schedule_id: str) -> None:
    body = client.post(f"/schedules/{schedule_id}/pause", json={"reason": "stocktaking"}).json()
    assert (body["status"], body["paused"]["reason"]) == ("paused", "stocktaking")
    again = client.post(f"/schedules/{schedule_id}/pause").json()
    assert (again["paused"]["since"], again["paused"]["reason"]) == (body["paused"]["since"], "")
    assert client.post(f"/schedules/{schedule_id}/resume").json()["status"] == "active"
    assert client.post(f"/schedules/{schedule_id}/resume").json()["status"] == "active"
    problem_in(client.post(f"/schedules/{schedule_id}/pause", json={"reason": "x" * 501}), 422, "invalid_request")


def test_a_schedule_is_run_now(client: httpx2.Client, schedule_id: str) -> None:
    answer = client.post(f"/schedules/{schedule_id}/run")
    body = answer.json()
    assert answer.status_code == 201
    assert (body["name"], body["input"], body["schedule_id"]) == ("add", {"a": 1, "b": 2}, schedule_id)
    assert client.get(answer.headers["location"]).json()["task_id"] == body["task_id"]
    assert client.post(f"/schedules/{schedule_id}/run").json()["task_id"] != body["task_id"]
    assert client.get(f"/schedules/{schedule_id}").json()["fired"] == 0


def test_what_a_program_declares_is_changed_there_alone(client: httpx2.Client, yard: Backyard) -> None:
    chosen = f"d{uuid.uuid4().hex[:10]}"
    add = yard.definitions["add"]
    yard.declared_schedules[chosen] = parse_spec({**DAILY, "name": add.name})
    yard.sync_schedules_sync()
    try:
        problem_in(client.patch(f"/schedules/{chosen}", json={"note": "x"}), 409, "schedule_conflict")
        body = problem_in(client.delete(f"/schedules/{chosen}"), 409, "schedule_conflict")
        assert "@yard.schedule" in body["detail"]
        assert client.post(f"/schedules/{chosen}/pause").json()["source"] == "code"
        assert client.post(f"/schedules/{chosen}/resume").json()["status"] == "active"
        assert client.post(f"/schedules/{chosen}/run").status_code == 201
    finally:
        yard.declared_schedules.clear()
        yard.sync_schedules_sync()
    problem_in(client.get(f"/schedules/{chosen}"), 404, "unknown_schedule")


def test_the_same_from_a_program(yard: Backyard, client: httpx2.Client) -> None:
    async def there_and_back() -> None:
        made = await yard.create_schedule(parse_spec(DAILY))
        chosen = made.schedule_id
        assert (await yard.update_schedule(chosen, cron="@hourly")).cron == "@hourly"
        assert (await yard.pause_schedule(chosen, "why")).status == "paused"
        assert (await yard.resume_schedule(chosen)).status == "active"
        assert len((await yard.schedule_ticks(chosen, 3)).ticks) == 3
        assert chosen in [one.schedule_id for one in await yard.schedules()]
        assert (await (await yard.run_schedule_now(chosen)).status()).schedule_id == chosen
        with pytest.raises(ScheduleConflictError):
            await yard.create_schedule(parse_spec(DAILY), chosen)
        await yard.delete_schedule(chosen)
        with pytest.raises(UnknownScheduleError):
            await yard.schedule_view(chosen)
        await yard.close()

    asyncio.run(there_and_back())
    assert client.get("/health").status_code == 200


def test_the_same_from_a_thread(yard: Backyard, client: httpx2.Client) -> None:
    chosen = yard.create_schedule_sync(parse_spec(DAILY)).schedule_id
    assert yard.update_schedule_sync(chosen, note="x").note == "x"
    assert yard.schedule_view_sync(chosen).note == client.get(f"/schedules/{chosen}").json()["note"]
    assert len(yard.schedule_ticks_sync(chosen).ticks) == 10
    assert yard.run_schedule_now_sync(chosen).status_sync().schedule_id == chosen
    yard.delete_schedule_sync(chosen)
    with pytest.raises(UnknownScheduleError):
        yard.delete_schedule_sync(chosen)


def test_acts_leave_lines_in_the_audit(client: httpx2.Client, yard: Backyard, schedule_id: str) -> None:
    before = yard.ledger.run(yard.ledger.calls.last_event())
    client.post(f"/schedules/{schedule_id}/pause", json={"reason": "audit"})
    entries: Any = yard.ledger.client.xrange(yard.ledger.keys.events, min=f"({before}")
    assert any(schedule_id.encode() in b"".join(fields.values()) and b"pause" in b"".join(fields.values())
               for _, fields in entries)  # fmt: skip
