"""Why a task is where it is: one row for each reason, each with what it is worked out from."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from backyard.core.errors import UnknownTaskError
from backyard.core.explain import RULES, explain, explain_task, span
from backyard.core.states import State
from backyard.core.why import Facts, Reason
from backyard.core.worker import Worker, WorkerState

NOW = 1_800_000_000_000.0


def worker(name: str = "w1@host", **options: Any) -> Worker:
    """Return a worker that reads the queue of the facts below and knows their definition."""
    known: dict[str, Any] = {
        "worker_name": name, "state": WorkerState.RUNNING, "alive": True, "age": 0.5, "uptime": 60,
        "started": datetime(2027, 1, 1, tzinfo=UTC), "host": "host", "pid": 1, "pool": "prefork", "max_concurrency": 2,
        "queues": ["reports"], "registered_tasks": ["build"], "definitions": {"build": "x"}, "running": [], "rss": 1,
        "lease": 20,
        "version": "1",
    }  # fmt: skip
    return Worker(**{**known, **options})


def facts(state: State = State.PENDING, *, place: str = "ready", **options: Any) -> Facts:
    """Return the facts of a queued task that a worker could take, with changes; ``record`` adds fields."""
    fields = {
        "state": state,
        "name": "build",
        "queue": "reports",
        "lane": "normal",
        "entry": "normal/1-0",
        "attempt": "0",
    }
    fields |= options.pop("record", {})
    return Facts("t", NOW, fields, place, **{"workers": [worker()], **options})


def running(**options: Any) -> Facts:
    """Return the facts of a running task."""
    fields = {"worker": "w1@host", "started": NOW - 42_000, "attempt": "1", **options.pop("record", {})}
    return facts(State.STARTED, **{"place": "held", "lease": NOW + 8_000, **options}, record=fields)


def parked(limit: str, most: str, **options: Any) -> Facts:
    """Return the facts of a task that waits for a limit."""
    return facts(place="", record={"parked": limit, "limit_said": most}, **options)


def ago(seconds: float) -> str:
    return str(NOW - seconds * 1000)


FAILURE = json.dumps({"kind": "error", "type": "ValueError", "message": "no such customer\nmore"})
SILENT = [worker(alive=False, age=12.0)]

CASES: dict[str, tuple[Facts, Reason, str]] = {
    "succeeded": (
        facts(State.SUCCESS, record={"finished": ago(3), "attempt": "2"}), Reason.SUCCEEDED,
        "It succeeded 3.0 s ago, in attempt 2.",
    ),
    "failed": (
        facts(State.FAILURE, record={"finished": ago(200), "failure": FAILURE}), Reason.FAILED,
        "It failed 3 min ago: ValueError: no such customer.",
    ),
    "cancelled": (facts(State.REVOKED, record={"finished": ago(9_000)}), Reason.CANCELLED, "It was cancelled 2 h ago."),
    "running": (running(), Reason.RUNNING, "It is running on w1@host for 42 s."),
    "running, with progress": (
        running(record={"progress": '{"current":1,"percent":40.0,"message":"page 4"}'}), Reason.RUNNING,
        "It is running on w1@host for 42 s, 40 % done (page 4).",
    ),
    "told to stop": (
        running(record={"cancel": ago(5)}), Reason.STOPPING,
        "It was told to stop 5.0 s ago; it runs on w1@host for 42 s, which has not seen that yet.",
    ),
    "told to stop, and seen": (
        running(record={"cancel": ago(5), "cancel_seen": ago(4)}), Reason.STOPPING,
        "It was told to stop 5.0 s ago; it runs on w1@host for 42 s, which has seen that.",
    ),
    "others stand for it": (
        running(place="gone", record={"replaced": "1"}), Reason.REPLACED,
        "It has put other tasks in its place, and ends with the last of them.",
    ),
    "worker silent, lease left": (
        running(workers=SILENT), Reason.WORKER_LOST,
        "Its worker w1@host has been silent for 12 s. Its lease runs out in 8.0 s; then it is queued again.",
    ),
    "worker silent, lease over, others live": (
        running(workers=[*SILENT, worker("w2@host")], lease=NOW - 1), Reason.WORKER_LOST,
        "Its worker w1@host has been silent for 12 s, and its lease has run out. It is queued again at any moment.",
    ),
    "worker gone, nobody else": (
        running(workers=[], lease=NOW - 1), Reason.WORKER_LOST,
        "Its worker w1@host has been silent, and its lease has run out. It is queued again as soon as a worker lives.",
    ),
    "worker gone, after the server was away": (
        running(workers=[worker("w2@host")], lease=NOW - 1, grace=NOW + 4_000), Reason.WORKER_LOST,
        ("Its worker w1@host has been silent, and its lease has run out. "
         "The server was away, so the living get 4.0 s more to renew; then it is queued again."),
    ),
    "a worker without a registry": (running(workers=[]), Reason.RUNNING, "It is running on w1@host for 42 s."),
    "queue paused": (
        facts(paused={"queue": json.dumps({"since": NOW - 90_000, "reason": "mail server down"})}), Reason.PAUSED,
        "The queue 'reports' has been paused for 90 s: mail server down.",
    ),
    "definition paused, without a reason": (
        facts(paused={"definition": "{}"}), Reason.PAUSED, "The definition 'build' has been paused.",
    ),
    "limit reached": (
        parked("definition:build", "2", holders=2, holding=["a", "b"], parked_before=0), Reason.LIMIT,
        "As many tasks of 'build' run as may (2 at once): a, b.",
    ),
    "limit reached by many": (
        parked("running", "12", holders=12, holding=["a", "b"], parked_before=3), Reason.LIMIT,
        "As many tasks run in this yard as may (12 at once): a, b and others. 3 wait for it before this one.",
    ),
    "key at its limit": (
        facts(place="", record={"parked": "key:build:anna"}), Reason.LIMIT,
        "As many tasks of 'build' with the key 'anna' run as may.",
    ),
    "another limit": (facts(place="", record={"parked": "x"}), Reason.LIMIT, "The limit 'x' is reached."),
    "rate": (
        facts(place="", record={"parked": "rate:build", "limit_said": "100.0 1"}), Reason.LIMIT,
        "The rate of 'build' allows no other start right now.",
    ),
    "paused no more": (
        facts(place="", record={"parked": "paused:queue:reports"}), Reason.PAUSED,
        "The queue reports was paused and goes on: what waits is queued step by step.",
    ),
    "put off": (
        facts(State.SCHEDULED, due_at=NOW + 1_000, record={"put_off": "2"}), Reason.DUE,
        ("The worker that took it does not know the definition 'build', and left it for others. "
         "It is due in 1.0 s, at 2027-01-15T08:00:01Z."),
    ),
    "scheduled": (
        facts(State.SCHEDULED, place="", due_at=NOW + 3_600_000), Reason.DUE,
        "It is due in 60 min, at 2027-01-15T09:00:00Z.",
    ),
    "retry": (
        facts(State.RETRY, due_at=NOW + 4_000, retries=3, record={"attempt": "2", "failure": FAILURE}), Reason.DUE,
        "Attempt 2 of 4 failed: ValueError: no such customer. It is due in 4.0 s, at 2027-01-15T08:00:04Z.",
    ),
    "retry of an unknown definition": (
        facts(State.RETRY, due_at=NOW, record={"attempt": "1"}), Reason.DUE, "Attempt 1 failed. It is due now.",
    ),
    "due, and nobody there": (
        facts(State.SCHEDULED, due_at=NOW - 60_000, workers=SILENT), Reason.NO_WORKER,
        "It was due 60 s ago, and no worker lives that would queue it. Start one with `backyard worker`.",
    ),
    "scheduled, but not due": (
        facts(State.SCHEDULED, record={"due": ago(1)}), Reason.NO_ENTRY,
        "Nothing would queue it any more. `backyard check` repairs that.",
    ),
    "entry gone": (
        facts(place="gone"), Reason.NO_ENTRY, "Its queue entry is gone. `backyard check` queues it again.",
    ),
    "of another broker": (
        facts(place="", record={"queue": ""}), Reason.QUEUED,
        "It was sent through another broker, which this yard cannot see.",
    ),
    "taken": (
        facts(place="held", lease=NOW + 5_000), Reason.TAKEN,
        "A worker has taken it, and begins it as soon as one of its processes is free.",
    ),
    "taken by one that was lost": (
        facts(place="held", lease=NOW - 5_000), Reason.WORKER_LOST,
        "A worker took it and was lost before it began; it is queued again when another worker looks.",
    ),
    "taken without a lease": (
        facts(place="held"), Reason.WORKER_LOST,
        "A worker took it and was lost before it began; it is queued again when another worker looks.",
    ),
    "no worker": (
        facts(workers=SILENT), Reason.NO_WORKER, "No worker lives. Start one with `backyard worker --queues reports`.",
    ),
    "no worker for its queue": (
        facts(workers=[worker(queues=["mail", "default"])]), Reason.NO_WORKER,
        "No worker takes from the queue 'reports': w1@host reads mail, default.",
    ),
    "its only worker drains": (
        facts(workers=[worker(state=WorkerState.DRAINING), worker("w2@host", queues=["mail"])]), Reason.NO_WORKER,
        "No worker takes from the queue 'reports': the only ones (w1@host) are about to stop.",
    ),
    "unknown definition": (
        facts(workers=[worker(registered_tasks=["other"])]), Reason.UNKNOWN_DEFINITION,
        "No worker of the queue 'reports' knows the definition 'build': w1@host does not.",
    ),
    "one ahead": (facts(ahead=1), Reason.QUEUED, "1 is ahead of it in the queue 'reports'."),
    "many ahead": (
        facts(ahead=1_199, starts=40, starts_since=NOW - 10_000), Reason.QUEUED,
        "1,199 are ahead of it in the queue 'reports', which takes about 5 min at the present rate.",
    ),
    "more than were counted": (
        facts(ahead=500, at_least=True), Reason.QUEUED, "At least 500 are ahead of it in the queue 'reports'.",
    ),
    "next": (facts(), Reason.QUEUED, "It is the next of the queue 'reports'."),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_case_has_its_reason_and_sentence(case: str) -> None:
    given, reason, sentence = CASES[case]
    why = explain(given)
    assert (why.reason, why.why) == (reason, sentence)
    assert (why.task_id, why.state) == ("t", given.state)
    assert json.loads(why.model_dump_json())["evidence"] == why.evidence


def test_every_reason_has_a_case() -> None:
    assert {reason for _, reason, _ in CASES.values()} == set(Reason)


def test_the_first_reason_counts() -> None:
    """A paused queue is told before a limit, a limit before a worker that is missing."""
    both = facts(place="", record={"parked": "build"}, paused={"queue": "{}"}, workers=[])
    assert explain(both).reason is Reason.PAUSED
    assert explain(replace(both, paused={})).reason is Reason.LIMIT
    assert explain(replace(facts(ahead=5), workers=[])).reason is Reason.NO_WORKER


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("place", ["", "ready", "held", "gone"])
def test_there_is_always_an_answer(state: State, place: str) -> None:
    assert explain(Facts("t", NOW, {"state": state}, place)).why.endswith(".")
    assert explain(Facts("t", NOW, {"state": state, "failure": "no JSON", "progress": "[]"}, place)).why


def test_evidence_of_a_queued_task() -> None:
    evidence = explain(facts(ahead=3, starts=5, starts_since=NOW - 10_000)).evidence
    assert evidence == {
        "queue": "reports", "lane": "normal", "ahead": 3, "ahead_is_exact": True, "starts_per_second": 0.5,
        "estimated_wait": 8.0, "workers": ["w1@host"], "slots": 2,
    }  # fmt: skip


def test_an_unknown_task_is_an_error() -> None:
    with pytest.raises(UnknownTaskError, match="No task has the id 'x'"):
        explain_task("x", None, [], {})


def test_rules_are_in_one_list() -> None:
    assert len(RULES) == len({rule.__name__ for rule in RULES})


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0.0 s"), (0.04, "0.0 s"), (9.94, "9.9 s"), (10, "10 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"),
     (172_800, "2 days")],
)  # fmt: skip
def test_durations_as_people_say_them(seconds: float, words: str) -> None:
    assert span(seconds) == words
