"""JSON to look at: a tree that folds, cut where it is big."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from backyard.core.secrets import MASK

#: Values that are shown of one tree.
_MOST = 500
#: Members that are shown of one list or object.
_MEMBERS = 100
_DEEPEST = 12
#: Characters that are shown of one text.
_LONGEST = 1_000
#: Trees with fewer values are shown unfolded.
_FEW = 30
#: Bytes of JSON that a page holds as text to be copied; what is longer is had from the API.
COPIED = 50_000


@dataclass(slots=True)
class Node:
    """One value.

    Args:
        key: Its name or number in what holds it; empty at the top.
        kind: ``object``, ``list``, ``text``, ``number``, ``word`` (true, false, null) or ``secret``.
        text: The value as JSON text, where it is not made of others.
        members: Values in it.
        count: How many it has, those that are not shown included.
        left_out: Members or characters that are not shown.
        open: Whether it is unfolded at first.
    """

    key: str
    kind: str
    text: str
    members: list[Node]
    count: int = 0
    left_out: int = 0
    open: bool = False


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON value as a page shows it.

    Args:
        root: The tree.
        text: The value as text, to read and to copy; empty where it is too long.
        size: Bytes of the value as JSON.
        cut: Whether something is left out of the tree.
    """

    root: Node
    text: str
    size: int
    cut: bool


class _Budget:
    def __init__(self) -> None:
        self.left = _MOST
        self.cut = False


def json_shown(value: Any) -> Json:
    """Return a value as a page shows it.

    Args:
        value: JSON as plain values.
    """
    budget = _Budget()
    root = _node("", value, budget, 0)
    _unfold(root, 0, few=_MOST - budget.left <= _FEW)
    size = len(to_json(value))
    text = json.dumps(value, indent=2, ensure_ascii=False) if size <= COPIED else ""
    return Json(root, text, size, budget.cut)


def _unfold(node: Node, depth: int, *, few: bool) -> None:
    node.open = few or depth == 0
    for member in node.members:
        _unfold(member, depth + 1, few=few)


def _node(key: str, value: Any, budget: _Budget, depth: int) -> Node:
    budget.left -= 1
    if isinstance(value, dict):
        return _holder(Node(key, "object", "", [], len(value)), list(value.items())[:_MEMBERS], budget, depth)
    if isinstance(value, list):
        rows = [(str(number), member) for number, member in enumerate(value[:_MEMBERS])]
        return _holder(Node(key, "list", "", [], len(value)), rows, budget, depth)
    if isinstance(value, str):
        left_out = max(0, len(value) - _LONGEST)
        budget.cut = budget.cut or left_out > 0
        text = json.dumps(value[:_LONGEST], ensure_ascii=False)
        return Node(key, "secret" if value == MASK else "text", text, [], len(value), left_out)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return Node(key, "number" if number else "word", json.dumps(value), [])


def _holder(node: Node, rows: list[tuple[str, Any]], budget: _Budget, depth: int) -> Node:
    for key, value in rows if depth < _DEEPEST else ():
        if budget.left <= 0:
            break
        node.members.append(_node(key, value, budget, depth + 1))
    node.left_out = node.count - len(node.members)
    budget.cut = budget.cut or node.left_out > 0
    return node
