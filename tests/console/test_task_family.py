from __future__ import annotations

from datetime import UTC, datetime

from backyard.console.task_family import Branch, tree_of
from backyard.core.models import TaskView
from backyard.history.family import Family, Relative


def relative(task_id: str, parent: str | None = None) -> Relative:
    return Relative(task_id, "n", "PENDING", parent, None, None)


def view(task_id: str, parent: str | None = None) -> TaskView:
    return TaskView.model_validate({
        "task_id": task_id, "name": "n", "state": "SUCCESS", "progress": None, "queue": "q", "priority": "normal",
        "attempt": 1, "date_created": datetime.now(UTC), "parent_id": parent,
    })  # fmt: skip


def told(branch: Branch) -> str:
    inside = ", ".join(told(child) for child in branch.children)
    return f"{'*' if branch.current else ''}{branch.task.task_id}" + (f"({inside})" if inside else "")


def test_relatives_hang_under_who_submitted_them() -> None:
    members = [relative("root"), relative("a", "root"), relative("b", "root"), relative("c", "a")]

    tree = tree_of(view("a", "root"), Family(members, whole=True, reruns=[]))

    assert [told(one) for one in tree.roots] == ["root(*a(c), b)"]
    assert tree.size == 4
    assert tree.roots[0].children[0].task.state == "SUCCESS"  # as it is now, not as it was recorded


def test_what_the_history_does_not_have_leaves_branches_of_their_own() -> None:
    tree = tree_of(view("new", "gone"), Family([relative("c", "lost")], whole=False, reruns=[]))

    assert [told(one) for one in tree.roots] == ["c", "*new"]


def test_a_task_that_names_itself_its_parent_does_no_harm() -> None:
    tree = tree_of(view("a", "a"), Family([], whole=True, reruns=[]))

    assert [told(one) for one in tree.roots] == ["*a"]
