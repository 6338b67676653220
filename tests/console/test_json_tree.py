from __future__ import annotations

from backyard.console.json_tree import COPIED, Node, json_shown
from backyard.core.secrets import MASK


def count(node: Node) -> int:
    return 1 + sum(count(member) for member in node.members)


def test_each_value_has_its_kind_and_its_text() -> None:
    shown = json_shown({"a": "x", "b": 1.5, "c": True, "d": None, "e": [1], "f": {}, "g": MASK})

    assert [(node.key, node.kind, node.text) for node in shown.root.members] == [
        ("a", "text", '"x"'), ("b", "number", "1.5"), ("c", "word", "true"), ("d", "word", "null"),
        ("e", "list", ""), ("f", "object", ""), ("g", "secret", f'"{MASK}"'),
    ]  # fmt: skip
    assert shown.root.open
    assert shown.root.members[4].open
    assert not shown.cut


def test_big_values_are_cut_and_said_to_be() -> None:
    shown = json_shown({"rows": list(range(5_000)), "text": "x" * 60_000})

    rows, text = shown.root.members
    assert (rows.count, len(rows.members), rows.left_out) == (5_000, 100, 4_900)
    assert not rows.open
    assert text.left_out == 59_000
    assert shown.cut
    assert shown.text == ""
    assert shown.size > COPIED


def test_a_tree_is_bounded_however_wide_and_deep_it_is() -> None:
    wide = [[list(range(90)) for _ in range(90)] for _ in range(90)]
    deep: object = 1
    for _ in range(200):
        deep = [deep]

    assert count(json_shown(wide).root) <= 500
    assert json_shown(wide).cut
    assert count(json_shown(deep).root) < 20
    assert json_shown(deep).cut
