"""Whichever way a filter goes through the indexes, it finds what looking at each task finds."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backyard.core.task_filter import TaskFilter
from backyard.history import filters
from backyard.history.database import History
from backyard.history.filters import Place, numbers_of, some_of
from backyard.history.migrate import migrate
from backyard.history.recorder import Recorder
from backyard.history.search import read_search, spoken, words_of
from backyard.history.tables import tasks
from support.news import Teller

TASKS = 400
WORDS = ["invoice", "customer", "zebra", "müller", "a_b", "x1"]
NAMES = ["mail", "build_report", "mail.send"]
SEARCHES = ["invoice", "zeb", "customer invoice", '"zebra müller"', "x1 report", "mail", "such cust"]
#: What makes each way of asking the one that is taken.
WAYS = {
    "as it is": {},
    "words and tags lead": {"_FEW": 0, "_READ": 1, "_SORTS": 0},
    "the newest first": {"_FEW": 0, "_READ": 200, "_ENOUGH": 9, "_SORTS": 0},
    "sort by sort": {"_FEW": 10**9, "_READ": 10**9, "_SORTS": 10**9},
}


def fill(history: History, draw: random.Random) -> None:
    teller, recorder = Teller(), Recorder(history, lambda _: {})
    recorder.position()
    recorder.begin("0-0")
    told = []
    for number in range(TASKS):
        told += teller.whole(
            f"t{number}", draw.choice(NAMES), draw.choice(["SUCCESS", "SUCCESS", "FAILURE"]),
            queue=draw.choice(["default", "slow"]), tags=draw.sample(["vip", "eu", "rare"], draw.randrange(3)),
            input={"text": " ".join(draw.choices(WORDS, k=4))}, root_id=f"r{draw.randrange(4)}",
        )  # fmt: skip
        if draw.random() < 0.2:
            told.pop()
        teller.later(draw.randrange(5_000))
    recorder.record(told)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """A history of some hundred tasks, of all kinds."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    folder: Path = tmp_path_factory.mktemp("filters")
    history = History.open(url, folder, f"filters{uuid.uuid4().hex[:12]}")
    migrate(history)
    fill(history, random.Random(1))  # noqa: S311 - it is to be repeatable
    yield history
    history.close()


def drawn(draw: random.Random, times: list[int]) -> TaskFilter:
    """Draw a filter of some parts."""
    parts: dict[str, Callable[[], Any]] = {
        "state": lambda: draw.sample(["SUCCESS", "FAILURE", "STARTED", "PENDING"], draw.randrange(1, 3)),
        "name": lambda: draw.sample([*NAMES, "none"], draw.randrange(1, 3)),
        "queue": lambda: [draw.choice(["default", "slow", "none"])],
        "worker": lambda: draw.choice(["w@h", "w@h", "nobody"]),
        "tag": lambda: draw.sample(["vip", "eu", "rare"], draw.randrange(1, 3)),
        "since": lambda: datetime.fromtimestamp(draw.choice(times) / 1000, UTC),
        "until": lambda: datetime.fromtimestamp(draw.choice(times) / 1000, UTC),
        "text": lambda: draw.choice(SEARCHES),
        "fingerprint": lambda: "f00",
        "root_id": lambda: draw.choice(["r0", "r3"]),
        "task_id": lambda: [f"t{number}" for number in draw.sample(range(TASKS + 9), draw.choice([1, 40, 300]))],
    }  # fmt: skip
    chosen = draw.sample(sorted(parts), draw.choice([1, 2, 2, 3, 4]))
    return TaskFilter(**{name: parts[name]() for name in chosen})


def has_words(row: Any, text: str) -> bool:
    failure = json.loads(row["failure"]) if row["state"] == "FAILURE" else {}
    told = f"{failure.get('type', '')} {failure.get('message', '')}"
    tagged = " ".join(json.loads(row["tags"] or "[]"))
    words = f" {words_of(row['task_id'], row['name'], tagged, told, spoken(row['input']))} "
    phrases = [" ".join(phrase) for phrase in read_search(text)]
    return all(f" {phrase} " in words for phrase in phrases[:-1]) and f" {phrases[-1]}" in words


def fits(row: Any, wanted: TaskFilter) -> bool:
    """Say whether a task matches, by looking at it."""
    own = ("worker", "fingerprint", "root_id")
    return (
        (not wanted.state or row["state"] in [str(one) for one in wanted.state])
        and (not wanted.name or row["name"] in wanted.name)
        and (not wanted.queue or row["queue"] in wanted.queue)
        and all(getattr(wanted, name) in (None, row[name]) for name in own)
        and set(wanted.tag) <= set(json.loads(row["tags"] or "[]"))
        and (not wanted.task_id or row["task_id"] in wanted.task_id)
        and (wanted.since is None or row["created"] >= wanted.since.timestamp() * 1000)
        and (wanted.until is None or row["created"] < wanted.until.timestamp() * 1000)
        and (wanted.text is None or has_words(row, wanted.text))
    )


@pytest.mark.parametrize("way", WAYS)
def test_all_ways_find_the_same(filled: History, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WAYS[way].items():
        monkeypatch.setattr(filters, name, value)
    draw = random.Random(way)  # noqa: S311 - it is to be repeatable
    found = 0
    with filled.reading() as connection:
        rows = list(connection.execute(select(tasks).order_by(tasks.c.number.desc())).mappings())
        assert len(rows) == TASKS
        for _ in range(300):
            wanted = drawn(draw, [row["created"] for row in rows])
            fitting = [row["number"] for row in rows if fits(row, wanted)]
            limit, edge = draw.choice([1, 5, 500]), draw.choice([None, None, *[row["number"] for row in rows]])
            after = [number for number in fitting if edge is None or number < edge][:limit]
            assert numbers_of(filled, connection, wanted, Place(limit, after=edge)) == after, wanted
            if edge is not None:
                before = [number for number in reversed(fitting) if number > edge][:limit]
                assert numbers_of(filled, connection, wanted, Place(limit, before=edge)) == before, wanted
            if filled.is_sqlite:
                some, every = some_of(filled, connection, wanted, limit)
                assert some == (fitting if every else fitting[: len(some)]), wanted
                assert every or len(some) > min(limit, filters._ENOUGH - 1), wanted
            found += len(after)
    assert found > 1_000
