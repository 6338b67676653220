"""The relatives of a task as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from backyard.core.models import TaskView
from backyard.history.family import Family, Relative


@dataclass(slots=True)
class Branch:
    """A task with what was submitted from inside of it.

    Args:
        task: The task.
        current: Whether it is the one that the page shows.
        children: What it has submitted, oldest first.
    """

    task: Relative
    current: bool
    children: list[Branch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tree:
    """The relatives of a task.

    Args:
        roots: The task that all began with; more than one where the history has lost some between.
        size: Tasks in it.
        whole: Whether these are all.
        reruns: Tasks that repeat it, newest first.
    """

    roots: Sequence[Branch]
    size: int
    whole: bool
    reruns: Sequence[Relative]


def tree_of(view: TaskView, family: Family) -> Tree:
    """Return the relatives of a task as a tree.

    Args:
        view: The task as it is now; it may be ahead of the history.
        family: Its relatives.
    """
    known = {one.task_id: one for one in family.members}
    known[view.task_id] = Relative(
        view.task_id, view.name, view.state, view.parent_id, view.date_started, view.date_done
    )
    branches = {key: Branch(one, current=key == view.task_id) for key, one in known.items()}
    roots: list[Branch] = []
    for branch in branches.values():
        above = branches.get(branch.task.parent_id or "")
        (roots if above is None or above is branch else above.children).append(branch)
    return Tree(roots, len(branches), family.whole, family.reruns)
