from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from celery_suite import run
from celery_suite.leftovers import leftovers
from celery_suite.run import Outcome, line, main, read_results, running_server, worse


def row(item: str, outcome: str, when: str = "call", **more: Any) -> str:
    return json.dumps({"id": item, "outcome": outcome, "when": when, "xfail": False, "dur": 1, "msg": "", **more})


def test_without_the_suite_one_sentence_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "scratch")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "nowhere" in said
    assert "setup.sh" in said
    assert "CELERY_SUITE=" in said
    assert not (tmp_path / "scratch").exists()


def test_the_worst_phase_of_an_item_counts(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    rows = [
        row("a", "passed"), row("a", "failed", "teardown", msg="broken\nlong"), row("b", "skipped", xfail=True),
        row("c", "passed", xfail=True), row("d", "failed", msg="bad"), row("e", "failed", "setup"), row("f", "skipped"),
    ]  # fmt: skip
    path.write_text("\n".join(rows))
    found = read_results(path)
    assert found.items == {
        "a": "error-teardown", "b": "xfailed", "c": "xpassed", "d": "failed", "e": "error-setup", "f": "skipped",
    }  # fmt: skip
    assert found.reasons["a"] == "broken"
    assert read_results(tmp_path / "none").items == {}


def test_worse_is_what_passes_on_stock_and_not_here() -> None:
    stock = {"a": "passed", "b": "passed", "c": "failed", "d": "skipped", "e": "passed"}
    outcome = Outcome({"a": "passed", "b": "failed", "c": "failed", "d": "skipped"}, left=["key"])
    assert worse(stock, outcome) == ["b", "e"]
    assert line("t/x.py", stock, outcome).split() == ["x.py", "5", "3", "1", "2", "0", "1"]


def test_leftovers_are_found(tmp_path: Path) -> None:
    with running_server(tmp_path) as port:
        client: Any = redis.Redis(port=port)
        client.hset("{celery}:task:done", mapping={"state": "SUCCESS"})
        client.expire("{celery}:task:done", 60)
        client.set("{celery}:counts", 1)
        client.xgroup_create("{celery}:queue:celery:normal", "workers", "0", mkstream=True)
        client.set("of a test's own", 1)
        assert leftovers(port) == []
        client.hset("{celery}:task:lost", mapping={"state": "PENDING", "name": "add"})
        client.xadd("{celery}:dead", {"reason": "no"})
        client.xadd("{celery}:queue:celery:normal", {"t": "x"})
        client.xreadgroup("workers", "c", {"{celery}:queue:celery:normal": ">"})
        assert leftovers(port) == [
            "{celery}:dead: 1 rows",
            "{celery}:queue:celery:normal: 1 entries",
            "{celery}:queue:celery:normal: 1 held",
            "{celery}:task:lost: hash without an end (add PENDING)",
        ]
        client.close()


def test_what_is_run_is_ours() -> None:
    from importlib import import_module  # noqa: PLC0415 - the names are strings to the suite

    for path in run.CLASSES.values():
        module, _, name = path.partition(":")
        assert isinstance(getattr(import_module(module), name), type)
