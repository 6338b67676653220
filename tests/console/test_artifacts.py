from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backyard import Backyard
from backyard.console.artifacts import Shown, artifacts_shown, table_of
from backyard.core.models import Artifact, TaskView
from backyard.settings import Settings


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
        ("a;b\n1,5;2\n", [["a", "b"], ["1,5", "2"]]),
        ('name,note\nx,"two\nlines"\n', [["name", "note"], ["x", "two\nlines"]]),
        ("alone\n", [["alone"]]),
        ("", []),
    ],
)
def test_a_table_is_read_as_it_was_written(text: str, rows: list[list[str]]) -> None:
    assert table_of(text, more=False) == (rows, False)


def test_a_big_table_is_cut_at_whole_rows() -> None:
    long = "a,b\n" + "1,2\n" * 500
    wide = ",".join(map(str, range(40))) + "\n"

    assert table_of("a,b\n1,2\n3,4", more=True) == ([["a", "b"], ["1", "2"]], True)
    rows, cut = table_of(long, more=False)
    assert (len(rows), cut) == (21, True)
    rows, cut = table_of(wide, more=False)
    assert (len(rows[0]), cut) == (12, True)


def shown(folder: Path, *saved: tuple[str, bytes, str | None]) -> list[Shown]:
    """Save artifacts, and return how they are shown."""
    yard = Backyard("artifacts", settings=Settings(data_dir=folder))
    kept = [yard.files.save_artifact("t", name, data, media) for name, data, media in saved]
    view = TaskView.model_validate({
        "task_id": "t", "name": "n", "state": "SUCCESS", "progress": None, "queue": "q", "priority": "normal",
        "attempt": 1, "date_created": datetime.now(UTC), "artifacts": [
            Artifact(name=one.name, size=one.size, content_type=one.content_type, url=f"/tasks/t/artifacts/{one.name}")
            for one in kept
        ],
    })  # fmt: skip
    return asyncio.run(artifacts_shown(yard, view, "/base"))


def test_each_sort_of_artifact_is_shown_in_its_own_way(tmp_path: Path) -> None:
    found = shown(
        tmp_path, ("a.csv", b"\xef\xbb\xbfid,price\n1,2.5\n", None), ("b.txt", "größer".encode(), None),
        ("c.png", b"\x89PNG", None), ("d.pdf", b"%PDF", None), ("e.html", b"<script>", None),
        ("f.svg", b"<svg/>", None), ("g.json", b'{"a": 1}', "application/json; charset=utf-8"),
    )  # fmt: skip

    assert [one.kind for one in found] == ["table", "text", "picture", "pdf", "other", "other", "text"]
    assert found[0].rows == [["id", "price"], ["1", "2.5"]]
    assert found[1].text == "größer"
    assert found[2].artifact.url == "/base/tasks/t/artifacts/c.png"


def test_only_the_beginning_of_a_long_text_is_read(tmp_path: Path) -> None:
    (found,) = shown(tmp_path, ("a.txt", "ä".encode() * 100_000, None))

    assert found.cut
    assert set(found.text) == {"ä"}
    assert len(found.text) == 4_000


def test_an_artifact_whose_bytes_are_gone_says_so(tmp_path: Path) -> None:
    yard = Backyard("artifacts", settings=Settings(data_dir=tmp_path))
    view = TaskView.model_validate({
        "task_id": "t", "name": "n", "state": "SUCCESS", "progress": None, "queue": "q", "priority": "normal",
        "attempt": 1, "date_created": datetime.now(UTC),
        "artifacts": [Artifact(name="a.txt", size=3, content_type="text/plain", url="/x")],
    })  # fmt: skip

    (found,) = asyncio.run(artifacts_shown(yard, view, ""))

    assert "no artifact named 'a.txt'" in found.text
