"""The judge and the plan: what they must notice, shown on yards in which it is so."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import text

import faults.judge
import faults.past
from backyard.core.models import FailureKind
from backyard.core.news import News
from backyard.core.states import Verb
from backyard.history.database import History
from backyard.history.migrate import migrate
from backyard.keeper.recording import Recording
from faults.client import Client, Submit
from faults.journal import Line
from faults.judge import Expected, Judge, Verdict
from faults.plan import plan_faults, plan_jobs
from faults.run import Row
from faults.site import Death, Site
from faults.storm import KINDS
from faults.table import document, summary
from support.bench import Bench, bench_of


class Scene(SimpleNamespace):
    """A yard without processes, and all that a judge looks at."""

    bench: Bench
    journal: list[Line]
    deaths: list[Death]
    client: Client

    def done(self, task_id: str, *, end: bool = True) -> None:
        """Run a task to its success, and note it as its function would."""
        self.bench.running(task_id)
        self.note("start", task_id)
        if end:
            self.note("end", task_id)
        self.bench.move(Verb.SUCCEED, task_id, 1)
        for taken in self.bench.entries()[1]:
            queue, lane, entry = taken.rsplit("/", 2)
            self.bench.run(self.bench.calls.acknowledge([(queue, lane, entry)]))
        self.client.adopt(task_id, "f")

    def note(self, what: str, task_id: str, attempt: int = 1, at: float | None = None, pid: int = 1) -> None:
        self.journal.append(Line(time.time() if at is None else at, pid, what, task_id, attempt))

    def judge(self, **expected: Any) -> Verdict:
        return Judge(cast("Site", self), self.client, Expected(serving=False, **expected)).judge()


@pytest.fixture
def scene(server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """An empty scene; what gets on no more is stuck at once."""
    monkeypatch.setattr(faults.judge, "STUCK", 0.1)
    monkeypatch.setattr(faults.judge, "EMPTY", 0.1)
    with bench_of(server_url) as bench:
        client = Client("http://127.0.0.1:1")
        journal: list[Line] = []
        made = Scene(
            bench=bench, journal=journal, deaths=[], outages=[], crews=[], keepers=[], client=client,
            ledger=bench.ledger, lines=lambda: journal,
        )  # fmt: skip
        bench.client.delete(bench.keys.leases)
        yield made
        client.close()


def blamed(verdict: Verdict) -> list[str]:
    return sorted({one.split(" ")[0] for one in verdict.broken})


def test_a_yard_in_order_is_not_blamed(scene: Scene) -> None:
    for number in range(3):
        scene.done(f"t{number}")
    scene.bench.client.delete(scene.bench.keys.leases)
    verdict = scene.judge()
    assert verdict.broken == []
    assert (verdict.lost, verdict.stuck, verdict.double_starts, verdict.recovery) == (0, 0, 0, None)


def test_a_lost_task(scene: Scene) -> None:
    scene.client.adopt("gone", "f")
    verdict = scene.judge()
    assert (blamed(verdict), verdict.lost) == (["I1"], 1)


def test_a_stuck_task(scene: Scene) -> None:
    scene.bench.submit("waits")
    scene.client.adopt("waits", "f")
    verdict = scene.judge()
    assert (blamed(verdict), verdict.stuck) == (["I1", "I7"], 1)


def test_a_success_that_never_ended(scene: Scene) -> None:
    scene.done("t", end=False)
    assert blamed(scene.judge(clean=False)) == ["I2"]


def test_a_failure_that_nobody_caused(scene: Scene) -> None:
    scene.bench.running("t")
    failure = '{"kind":"error","type":"E","message":"no"}'
    scene.bench.move(Verb.FAIL, "t", 1, fields={"failure": failure})
    scene.client.adopt("t", "f")
    assert blamed(scene.judge(clean=False)) == ["I2"]
    assert blamed(scene.judge(clean=False, failures={"f": {FailureKind.ERROR}})) == []


def test_a_second_outcome(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.done("t")
    told = [News(f"{number}-0", "t", "state", "SUCCESS", 1, None) for number in (1, 2)]
    monkeypatch.setattr(Judge, "news", lambda _: {"t": told})
    verdict = scene.judge(clean=False)
    assert (blamed(verdict), verdict.doubly_finished) == (["I3"], 1)


def test_news_that_do_not_agree_with_the_record(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.done("t")
    monkeypatch.setattr(Judge, "news", lambda _: {"t": [News("1-0", "t", "state", "FAILURE", 1, None)]})
    assert blamed(scene.judge(clean=False)) == ["I7"]


def test_a_start_that_nobody_counted(scene: Scene) -> None:
    scene.done("t")
    scene.note("start", "t", 2)
    verdict = scene.judge(clean=False, extra_starts=1)
    assert (blamed(verdict), verdict.double_starts) == (["I4"], 1)


def test_an_attempt_that_starts_twice(scene: Scene) -> None:
    scene.done("t")
    scene.note("start", "t", 1)
    assert blamed(scene.judge(clean=False, extra_starts=1)) == ["I4"]


def test_attempts_at_once(scene: Scene) -> None:
    now = time.time()
    scene.done("t")
    scene.note("start", "t", 2, at=now - 1)
    verdict = scene.judge(clean=False, extra_starts=1)
    assert any("at once" in one for one in verdict.broken)


@pytest.mark.parametrize("answer", ["refused", "unsure"])
def test_what_was_not_accepted(scene: Scene, answer: Any) -> None:
    scene.client.submits.append(Submit("t", "f", answer, 503, 0.0))
    assert blamed(scene.judge()) == []
    scene.note("start", "t")
    scene.note("end", "t")
    assert blamed(scene.judge()) == ["I5"]


def test_a_slow_recovery(scene: Scene) -> None:
    now = time.time()
    scene.done("t")
    scene.journal.clear()
    scene.note("start", "t", 1, at=now - 30, pid=7)
    scene.deaths.append(Death(now - 25, frozenset((7,)), "w1"))
    scene.note("start", "t", 2, at=now - 5)
    scene.note("end", "t", 1, at=now)
    scene.journal[-1] = Line(now, 8, "end", "t", 2)
    verdict = scene.judge(clean=False, extra_starts=1)
    assert "I6" in blamed(verdict)
    assert verdict.recovery == pytest.approx(20)


def test_what_is_left_behind(scene: Scene) -> None:
    scene.done("t")
    scene.bench.client.zadd(f"{scene.bench.keys.prefix}due", {"t": 1})
    assert blamed(scene.judge()) == ["I7"]


@pytest.fixture
def past(scene: Scene, tmp_path: Path) -> Iterator[History]:
    """The scene's history, with two tasks that succeeded and one that failed."""
    history = History.open(None, tmp_path, scene.ledger.keys.yard)
    migrate(history)
    scene.history = history
    scene.keepers.append("keeper")
    for task_id in ("one", "two"):
        scene.done(task_id)
    scene.bench.running("bad")
    scene.bench.move(Verb.FAIL, "bad", 1, fields={"failure": '{"kind":"error","type":"E","message":"no"}'})
    Recording(scene.ledger, history, "keeper", 10_000).step()
    yield history
    history.close()


def test_a_history_in_order_is_not_blamed(scene: Scene, past: History) -> None:
    assert past.is_sqlite
    assert scene.judge(clean=False).broken == []


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM tasks WHERE task_id = 'two'",
        "UPDATE tasks SET attempt = 2 WHERE task_id = 'two'",
        "UPDATE tasks SET state = 'FAILURE' WHERE task_id = 'two'",
        "UPDATE tasks SET task_id = 'three' WHERE task_id = 'two'",
        "UPDATE counts SET number = number + 1 WHERE state = 'SUCCESS'",
        "DELETE FROM counts WHERE state = 'FAILURE'",
        "UPDATE rollups SET started = started + 1 WHERE resolution = 3600",
        "UPDATE yard_rollups SET failed = failed + 1 WHERE resolution = 60",
        "UPDATE error_groups SET count = count + 1",
        "DELETE FROM events WHERE state = 'STARTED'",
        "INSERT INTO events SELECT event + 999, number, kind, state, attempt, data FROM events WHERE state = 'SUCCESS'",
    ],
)
def test_a_history_that_is_not_as_it_was(scene: Scene, past: History, statement: str) -> None:
    with past.writing() as connection:
        connection.execute(text(statement))
    verdict = scene.judge(clean=False)
    assert blamed(verdict) == ["I7"]
    assert all(one.startswith("I7 history: ") for one in verdict.broken)


def test_a_history_that_lags_behind(scene: Scene, past: History, monkeypatch: pytest.MonkeyPatch) -> None:
    assert past.is_sqlite
    monkeypatch.setattr(faults.past, "PATIENCE", 0.1)
    scene.done("late")
    verdict = scene.judge(clean=False)
    assert len(verdict.broken) == 1
    assert "the newest event" in verdict.broken[0]


def test_where_the_stream_is_trimmed_the_history_tells(scene: Scene, past: History) -> None:
    scene.bench.client.xtrim(scene.bench.keys.events, maxlen=1, approximate=False)
    assert scene.judge(clean=False).broken == []
    with past.writing() as connection:
        connection.execute(text("DELETE FROM events WHERE state = 'SUCCESS'"))
    assert "I7" in blamed(scene.judge(clean=False))


def test_a_plan_is_its_seeds() -> None:
    counts = dict.fromkeys(KINDS, 2)

    def draw(seed: int) -> tuple[Any, Any]:
        chance = random.Random(seed)  # noqa: S311 - it is to be repeatable
        return plan_faults(chance, counts), plan_jobs(chance, 50)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    faults_, _ = draw(3)
    assert [fault.at for fault in faults_] == sorted(fault.at for fault in faults_)


def test_a_table_has_one_row_for_all_seeds_of_a_fault() -> None:
    rows = [Row("1", "kill -9", seed, tasks=10, kills="2 workers", recovery=1.0 * seed) for seed in (1, 2)]
    rows[1].lost, rows[1].verdict = 1, "broken"
    kept = document([one.data() for one in (*rows, Row("2", "other", 1))], full=True, seeds=[1, 2], seconds=60)
    assert summary(kept).splitlines()[4:] == [
        "| 1 | kill -9 | 1, 2 | 20 | 2 x (2 workers) | 1 | 0 | 0 | 0 | 2.0 s | broken |",
        "| 2 | other | 1 | 0 |  | 0 | 0 | 0 | 0 |  | holds |",
    ]
