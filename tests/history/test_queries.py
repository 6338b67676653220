from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backyard.core.errors import InvalidInputError
from backyard.core.task_filter import TaskFilter
from backyard.history.database import History
from backyard.history.queries import counts_of, page_of
from backyard.history.recorder import Recorder
from support.news import Teller

START = datetime(2027, 1, 15, 8, tzinfo=UTC)


@pytest.fixture
def filled(history: History) -> History:
    """A history of 20 tasks, a minute apart."""
    teller = Teller(int(START.timestamp() * 1000))
    recorder = Recorder(history, lambda _: {})
    recorder.position()
    recorder.begin("0-0")
    told = []
    for number in range(20):
        told += teller.whole(
            f"t{number:02}", "mail" if number % 2 else "build_report", "FAILURE" if number % 5 == 0 else "SUCCESS",
            queue="slow" if number < 5 else "default", tags=["vip"] if number % 4 == 0 else [],
            input={"customer": f"Müller {number}", "file": "a_b.csv"}, root_id="t00",
        )  # fmt: skip
        teller.later(60_000 - 110)
    recorder.record(told)
    return history


def ids(history: History, limit: int = 50, **wanted: Any) -> list[str]:
    return [one.task_id for one in page_of(history, TaskFilter(**wanted), limit).tasks]


def names(*numbers: int) -> list[str]:
    return [f"t{number:02}" for number in sorted(numbers, reverse=True)]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, range(20)),
        ({"state": "FAILURE"}, [0, 5, 10, 15]),
        ({"state": ["FAILURE", "PENDING"], "name": "mail"}, [5, 15]),
        ({"name": ["mail", "build_report"], "queue": "slow"}, range(5)),
        ({"worker": "w@h", "tag": "vip"}, [0, 4, 8, 12, 16]),
        ({"worker": "nobody"}, []),
        ({"tag": ["vip", "none"]}, []),
        ({"since": START + timedelta(minutes=17)}, [17, 18, 19]),
        ({"until": START + timedelta(minutes=2)}, [0, 1]),
        ({"since": START + timedelta(minutes=5), "until": START + timedelta(minutes=7)}, [5, 6]),
        ({"since": START + timedelta(days=9)}, []),
        ({"until": START - timedelta(days=9)}, []),
        ({"fingerprint": "f00"}, [0, 5, 10, 15]),
        ({"root_id": "t00", "state": "FAILURE"}, [0, 5, 10, 15]),
        ({"text": "MÜLLER 7"}, [7]),
        ({"text": "report customer"}, range(0, 20, 2)),
        ({"text": "repo"}, range(0, 20, 2)),
        ({"text": '"such customer"'}, [0, 5, 10, 15]),
        ({"text": '"customer such"'}, []),
        ({"text": "vip 16"}, [16]),
        ({"text": "b.csv", "name": "mail", "state": "SUCCESS"}, [1, 3, 7, 9, 11, 13, 17, 19]),
        ({"text": "'; DROP -- nothing"}, []),
    ],
)
def test_filters(filled: History, wanted: dict[str, Any], numbers: Any) -> None:
    assert ids(filled, **wanted) == names(*numbers)
    counted, exact = counts_of(filled, TaskFilter(**wanted))
    assert (sum(counted.values()), exact) == (len(list(numbers)), True)
    assert counts_of(filled, TaskFilter(**wanted), rough=True) == (counted, True)


def test_pages_lead_to_all_tasks_and_back(filled: History) -> None:
    wanted = TaskFilter(state=("SUCCESS",))
    found: list[str] = []
    pages = [page_of(filled, wanted, 3)]
    assert pages[0].before is None
    while (after := pages[-1].after) is not None:
        pages.append(page_of(filled, wanted, 3, after=after))
    for page in pages:
        found += [one.task_id for one in page.tasks]
    assert found == ids(filled, state="SUCCESS")
    back = [pages[-1]]
    while (before := back[-1].before) is not None:
        back.append(page_of(filled, wanted, 3, before=before))
    assert [page.tasks for page in reversed(back)][-len(pages) :] == [page.tasks for page in pages]


@pytest.mark.parametrize("text", ["", "   ", "!!! ***", "a " * 21])
def test_searches_that_cannot_work_are_refused(history: History, text: str) -> None:
    with pytest.raises(InvalidInputError, match="1 to 20 words"):
        page_of(history, TaskFilter(text=text), 10)


def test_a_huge_text_is_searched_at_its_beginning(history: History) -> None:
    teller = Teller()
    recorder = Recorder(history, lambda _: {})
    recorder.position()
    recorder.begin("0-0")
    recorder.record([teller.born("t", input={"text": "first " + "x" * 10_000_000 + " last"})])
    assert ids(history, text="first") == ["t"]
    assert ids(history, text="last") == []
