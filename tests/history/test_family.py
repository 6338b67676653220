from __future__ import annotations

from backyard.history.database import History
from backyard.history.family import Family, family_of
from backyard.history.tables import tasks


def remember(history: History, *rows: tuple[str, str | None, str | None, str | None]) -> None:
    """Put tasks into a history: id, parent, root, and what they repeat."""
    with history.writing() as connection:
        connection.execute(
            tasks.insert(),
            [
                {
                    "number": number, "task_id": task_id, "name": "n", "state": "SUCCESS", "queue": "q",
                    "lane": "normal", "attempt": 1, "created": number, "parent_id": parent, "root_id": root,
                    "rerun_of": again,
                }
                for number, (task_id, parent, root, again) in enumerate(rows, 1)
            ],
        )  # fmt: skip


def ids(family: Family) -> list[str]:
    return [one.task_id for one in family.members]


def test_a_family_is_its_root_and_all_that_came_of_it(history: History) -> None:
    remember(
        history, ("root", None, None, None), ("other", None, None, None), ("a", "root", "root", None),
        ("b", "a", "root", None), ("c", "other", "other", None),
    )  # fmt: skip

    for task_id, root in (("root", None), ("a", "root"), ("b", "root")):
        family = family_of(history, task_id, root, 10)
        assert (ids(family), family.whole) == (["root", "a", "b"], True)
    assert ids(family_of(history, "c", "other", 10)) == ["other", "c"]
    assert ids(family_of(history, "unknown", None, 10)) == []


def test_of_a_big_family_the_parents_and_the_first_children_are_shown(history: History) -> None:
    remember(
        history, ("root", None, None, None), ("a", "root", "root", None), ("b", "a", "root", None),
        *((f"child {number}", "b", "root", None) for number in range(9)),
        *((f"aunt {number}", "root", "root", None) for number in range(9)),
    )  # fmt: skip

    family = family_of(history, "b", "root", 5)

    assert ids(family) == ["root", "a", "b", *(f"child {number}" for number in range(5))]
    assert not family.whole


def test_a_line_of_parents_ends_where_the_history_does(history: History) -> None:
    remember(history, ("b", "pruned", "root", None), *((f"c{number}", "b", "root", None) for number in range(9)))

    assert ids(family_of(history, "b", "root", 3)) == ["b", "c0", "c1", "c2"]


def test_reruns_are_named_the_newest_first(history: History) -> None:
    remember(history, ("a", None, None, None), *((f"again {number}", None, None, "a") for number in range(4)))

    assert [one.task_id for one in family_of(history, "a", None, 3).reruns] == ["again 3", "again 2", "again 1"]
