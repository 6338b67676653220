from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import func, select

from backyard.core.news import News
from backyard.core.states import State
from backyard.core.task_filter import TaskFilter
from backyard.history import tables
from backyard.history.database import History
from backyard.history.queries import attempts_of, counts_of, events_of, page_of, task_of
from backyard.history.recorder import OvertakenError, Recorder
from support.news import Teller


class Ledger:
    """What a ledger has of tasks: the records that the news left out."""

    def __init__(self, **records: Mapping[str, str]) -> None:
        self.records = records
        self.asked: list[str] = []

    def fetch(self, task_ids: Sequence[str]) -> dict[str, Mapping[str, str]]:
        self.asked += task_ids
        return {task_id: self.records[task_id] for task_id in task_ids if task_id in self.records}


def recorder_of(history: History, ledger: Ledger | None = None) -> Recorder:
    recorder = Recorder(history, (ledger or Ledger()).fetch)
    if recorder.position() is None:
        recorder.begin("0-0")
    return recorder


def rows_of(history: History, table: Any) -> list[dict[str, Any]]:
    with history.reading() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def total(history: History, table: Any) -> int:
    with history.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_a_life_becomes_a_row_with_its_attempt_and_events(history: History) -> None:
    teller = Teller()
    told = teller.whole("t1", "report", tags=["a", "b"], input={"customer": 7})
    assert recorder_of(history).record(told) == told[-1].event_id
    view = task_of(history, "t1")
    assert view is not None
    assert (view.state, view.result, view.input, view.tags) == (State.SUCCESS, 1, {"customer": 7}, ["a", "b"])
    assert view.date_done is not None
    (attempt,) = attempts_of(history, "t1")
    assert (attempt["worker"], attempt["outcome"]) == ("w@h", "SUCCESS")
    assert (attempt["ended"] - attempt["started"]).total_seconds() == 0.1
    assert [one["state"] for one in events_of(history, "t1")] == ["PENDING", "STARTED", "SUCCESS"]
    assert counts_of(history, TaskFilter()) == ({"SUCCESS": 1}, True)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_how_news_is_cut_into_batches_changes_nothing(history: History, size: int) -> None:
    teller = Teller()
    told: list[News] = []
    for number in range(5):
        told += teller.whole(f"t{number}", state="FAILURE" if number % 2 else "SUCCESS")
    told.append(teller.born("waits"))
    recorder = recorder_of(history)
    for at in range(0, len(told), size):
        recorder.record(told[at : at + size])
    assert counts_of(history, TaskFilter())[0] == {"SUCCESS": 3, "FAILURE": 2, "PENDING": 1}
    assert total(history, tables.events) == 16
    assert [one.task_id for one in page_of(history, TaskFilter(), 10).tasks] == [
        "waits", "t4", "t3", "t2", "t1", "t0",
    ]  # fmt: skip
    (group,) = rows_of(history, tables.error_groups)
    assert (group["fingerprint"], group["count"], group["sample"]) == ("f00", 2, "t3")
    sums = [row for row in rows_of(history, tables.rollups) if row["resolution"] == 86_400]
    assert [(row["submitted"], row["started"], row["succeeded"], row["failed"]) for row in sums] == [(6, 5, 3, 2)]
    assert sum(json.loads(sums[0]["runs"]).values()) == 5
    (whole,) = [row for row in rows_of(history, tables.yard_rollups) if row["resolution"] == 86_400]
    assert whole == {name: value for name, value in sums[0].items() if name != "name"}


def test_whoever_was_overtaken_keeps_nothing(history: History) -> None:
    teller = Teller()
    first, second = recorder_of(history), recorder_of(history)
    told = teller.whole("t1")
    first.record(told)
    with pytest.raises(OvertakenError):
        second.record(told)
    assert second.position() == told[-1].event_id
    more = teller.whole("t2")
    second.record(more)
    with pytest.raises(OvertakenError):
        first.record(more)
    assert total(history, tables.events) == 6
    assert [row["submitted"] for row in rows_of(history, tables.rollups)] == [2, 2, 2]


def test_news_that_is_applied_again_leaves_rows_as_they_are(history: History) -> None:
    teller = Teller()
    told = [*teller.whole("t1", state="FAILURE"), *teller.whole("t2"), teller.born("t3")]
    recorder_of(history).record(told)
    before = rows_of(history, tables.tasks), rows_of(history, tables.counts), rows_of(history, tables.events)
    recorder_of(history).record(told)
    after = rows_of(history, tables.tasks), rows_of(history, tables.counts), rows_of(history, tables.events)
    assert after == before


def test_what_the_stream_left_out_is_asked_for(history: History) -> None:
    teller = Teller()
    ledger = Ledger(t1={"name": "f", "state": "SUCCESS", "created": "5", "input": '"long"', "result": '"longer"'})
    born = teller.born("t1")
    short = {name: value for name, value in born.fields.items() if name != "input"}
    told = [
        News(born.event_id, "t1", "state", "PENDING", 0, None, short, ("input",)),
        teller.started("t1"),
        teller.say("t1", "state", "SUCCESS", 1, fields={"finished": "9"}, left_out=("result",)),
    ]  # fmt: skip
    recorder_of(history, ledger).record(told)
    view = task_of(history, "t1")
    assert view is not None
    assert (view.input, view.result) == ("long", "longer")


def test_a_task_that_nobody_told_of_is_read_from_the_ledger(history: History) -> None:
    teller = Teller()
    ledger = Ledger(old={"name": "g", "queue": "slow", "state": "STARTED", "attempt": "1", "created": "5"})
    recorder_of(history, ledger).record([teller.ended("old"), teller.ended("unknown")])
    old, unknown = task_of(history, "old"), task_of(history, "unknown")
    assert old is not None
    assert (old.name, old.queue, old.state) == ("g", "slow", State.SUCCESS)
    assert unknown is not None
    assert (unknown.name, unknown.state) == ("", State.SUCCESS)
    assert ledger.asked == ["old", "unknown"]


def test_an_id_that_is_used_anew_is_the_newest_and_keeps_its_events(history: History) -> None:
    teller = Teller()
    told = teller.whole("t1", state="FAILURE", tags=["old"])
    told += teller.whole("t2")
    teller.later(5)
    told += teller.whole("t1", tags=["new"])
    recorder_of(history).record(told)
    page = page_of(history, TaskFilter(), 10)
    assert [(one.task_id, one.state) for one in page.tasks] == [("t1", State.SUCCESS), ("t2", State.SUCCESS)]
    assert len(events_of(history, "t1")) == 6
    assert page_of(history, TaskFilter(tag="old"), 10).tasks == []
    assert len(page_of(history, TaskFilter(tag="new"), 10).tasks) == 1
    assert counts_of(history, TaskFilter())[0] == {"SUCCESS": 2}


def test_retries_and_losses_are_attempts_of_their_own(history: History) -> None:
    teller = Teller()
    failure = {"kind": "error", "type": "E", "message": "m", "fingerprint": "e1"}
    told = [teller.born("t"), teller.started("t")]
    told.append(teller.say("t", "state", "RETRY", 1, {"due": 5}, fields={"due": "5", "failure": json.dumps(failure)}))
    told += [teller.say("t", "state", "PENDING", 1), teller.started("t", 2, "w2")]
    told += [teller.say("t", "state", "PENDING", 2, {"reason": "worker_lost"}), teller.started("t", 3, "w3")]
    told.append(teller.ended("t", attempt=3, result=3))
    recorder_of(history).record(told)
    assert [(one["attempt"], one["worker"], one["outcome"]) for one in attempts_of(history, "t")] == [
        (1, "w@h", "RETRY"), (2, "w2", "worker_lost"), (3, "w3", "SUCCESS"),
    ]  # fmt: skip
    view = task_of(history, "t")
    assert view is not None
    assert (view.failure, view.date_due, view.state) == (None, None, State.SUCCESS)
    minute = next(row for row in rows_of(history, tables.rollups) if row["resolution"] == 60)
    assert (minute["retried"], minute["lost"], minute["started"]) == (1, 1, 3)


def test_log_lines_artifacts_and_audit_are_kept_and_progress_is_not_one_by_one(history: History) -> None:
    teller = Teller()
    told = [teller.born("t"), teller.started("t")]
    told.append(teller.say("t", "log", "STARTED", 1, {"message": "hello", "level": "info"}))
    told += [teller.say("t", "progress", "PROGRESS", 1, {"current": n, "percent": n}) for n in (1.0, 2.0)]
    artifact = {"name": "a.txt", "size": 1, "content_type": "text/plain", "url": "/tasks/t/artifacts/a.txt"}
    told.append(teller.say("t", "artifact", "PROGRESS", 1, artifact))
    line = {"actor": "me", "verb": "pause", "kind": "queue", "subject": "mail", "details": {"reason": "why"}}
    told.append(teller.say("", "audit", "", 0, line))
    recorder_of(history).record(told)
    view = task_of(history, "t")
    assert view is not None
    assert (view.progress, [one.name for one in view.artifacts]) == (2.0, ["a.txt"])
    assert [one["data"]["message"] for one in events_of(history, "t", kinds=["log"])] == ["hello"]
    assert [one["event"] for one in events_of(history, "t")] == ["state", "state", "log", "artifact"]
    (kept,) = rows_of(history, tables.audit)
    assert (kept["actor"], kept["verb"], kept["subject"]) == ("me", "pause", "mail")
