"""The benchmarks' own code, run small: each row with Backyard, where peers are not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks import bench, worker
from benchmarks.contenders import ALONE, HANDWIRED, OURS, PEERS, Contender
from benchmarks.lengths import ideal
from benchmarks.outcomes import submitted
from benchmarks.peers.inputs import LONGEST, SHORTEST, lengths
from benchmarks.processes import MeasureError, Program, tree_of
from benchmarks.rows import Row, rows
from benchmarks.stage import Marks, Stage
from benchmarks.submit import SUBMIT, load, request

from project.tree import ROOT

SMALL = 0.02
#: What each row says of Backyard at least.
SAYS = {
    "submit": {"per_second", "p99_ms", "errors", "api_us", "server_us"},
    "submit_128": {"p99_ms"},
    "submit_512": {"errors"},
    "batch": {"tasks_per_second"},
    "look": {"per_second", "api_us"},
    "worker": {"tasks_per_second", "worker_us", "companions_us", "server_us"},
    "coroutines": {"seconds"},
    "one_ms": {"share_of_ideal"},
    "mixed": {"times_ideal"},
    "wait": {"p50_ms", "p99_ms"},
    "watch": {"p99_ms"},
    "memory": {"bytes_a_task"},
    "idle": {"api_pss_mb", "worker_pss_mb", "keeper_pss_mb", "api_rss_mb"},
    "startup": {"help_seconds", "up_seconds"},
}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as there:
        yield there


@pytest.mark.parametrize("row", [row for row in rows(SMALL) if row.name != "submit_128"], ids=lambda row: row.name)
def test_each_row_measures_backyard(stage: Stage, row: Row) -> None:
    figures = row.measure(stage, row.contenders[0])
    assert set(figures) >= SAYS[row.name]
    assert all(value >= 0 for value in figures.values() if isinstance(value, float)), figures


def test_a_server_that_writes_each_command_to_disk_is_for_who_is_called_durable(stage: Stage) -> None:
    for row in rows(SMALL):
        for one in row.contenders:
            assert one.durable == ("always" in one.name)
    with stage.turn(ALONE):
        assert stage.client.config_get("appendonly") == {"appendonly": "no"}
    with stage.turn(next(one for one in rows()[0].contenders if one.durable)):
        found = stage.client.config_get("append*")
        assert (found["appendonly"], found["appendfsync"]) == ("yes", "always")


def test_every_row_has_figures_that_are_expected_and_the_quick_part_needs_one_peer() -> None:
    assert {row.name for row in rows()} == set(SAYS)
    peers = {one.name for row in rows() for one in row.quick if one.requirements}
    assert peers == {HANDWIRED.name}
    measured = {one.name for row in rows() for one in row.contenders}
    assert {one.name for one in (HANDWIRED, *PEERS)} <= measured


def test_a_task_that_ran_twice_or_never_is_an_error(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "marks", 3)
    (tmp_path / "marks").write_bytes(bytes([1, 0, 0]))
    # Of another process, which had two of them.
    (tmp_path / "marks.17").write_bytes(bytes([0, 1, 1]))
    marks.check()
    assert marks.done() == 3
    (tmp_path / "marks.17").write_bytes(bytes([1, 1, 0]))
    assert marks.done() == 2
    with pytest.raises(MeasureError, match="2 of 3 tasks did not run exactly once"):
        marks.check()
    (tmp_path / "marks.17").write_bytes(bytes([1, 1, 1]))
    with pytest.raises(MeasureError, match="1 of 3 tasks did not run exactly once"):
        marks.check()
    with pytest.raises(MeasureError, match="ran twice"):
        marks.check_none_twice()


TWICE = """
import time
from benchmarks.peers.inputs import mark
for number in [3, *range(20)]:
    mark(number)
time.sleep(60)
"""


def test_a_worker_that_repeats_a_task_has_no_figure(stage: Stage) -> None:
    twice = Contender(
        "twice", "ours", worker=("python", "-c", TWICE), tasks=20, waiting=lambda _: 20, stored=lambda _: 20,
        filler=("python", "-c", "pass"),
    )  # fmt: skip
    with pytest.raises(MeasureError, match="1 of 20 tasks did not run exactly once"):
        worker.measure(stage, twice, 20)


def test_a_worker_that_ends_is_told_with_what_it_said(stage: Stage) -> None:
    broken = Contender(
        "broken", "ours", worker=("python", "-c", "raise SystemExit('no such yard')"), waiting=lambda _: 1,
        stored=lambda _: 1, filler=("python", "-c", "pass"),
    )  # fmt: skip
    with pytest.raises(MeasureError, match="ended with 1:\n  no such yard"):
        worker.measure(stage, broken, 1)


def test_the_load_counts_what_was_refused(stage: Stage) -> None:
    with stage.turn(ALONE):
        _, port = stage.serve(ALONE)
        accepted = load(port, SUBMIT, 4, 0.2)
        assert (accepted["errors"], submitted(stage, ALONE)) == (0, accepted["answers"])
        refused = load(port, request("POST", "/tasks/take_order", {"customer": 0}), 4, 0.2)
        assert refused["answers"] == 0
        assert refused["seen"] == {"422": refused["errors"]}


TWO = """
import subprocess, sys, time
if len(sys.argv) == 1:
    subprocess.run([sys.executable, "-c", sys.orig_argv[2], "inner"])
while time.process_time() < 0.3:
    pass
block = b"x" * 50_000_000
print("ready", flush=True)
time.sleep(60)
"""


def test_processor_time_and_memory_are_those_of_the_whole_tree(tmp_path: Path) -> None:
    with Program([sys.executable, "-c", TWO], {}, tmp_path / "log") as program:
        program.await_line("ready")
        assert len(tree_of(program.child.pid)) == 2
        assert program.cpu() >= 0.3
        assert program.memory().pss > 50
        children = tree_of(program.child.pid)
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


def test_lengths_are_the_same_for_everybody_and_the_ideal_is_a_queue_without_cost() -> None:
    mixed = lengths("mixed", 200)
    assert mixed == lengths("mixed", 200)
    assert SHORTEST <= min(mixed) < 2 * SHORTEST < LONGEST / 2 < max(mixed) <= LONGEST
    assert lengths("0.001", 2) == [0.001, 0.001]
    assert ideal([1, 1, 1], 2) == 2
    assert ideal([3, 1, 1, 1], 2) == 3


def test_a_run_of_the_program_writes_what_the_documents_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "install", lambda **_: None)
    monkeypatch.setattr(bench, "versions", lambda _: {"celery": "5"})
    told = tmp_path / "told.json"
    words = ["--only", "memory", "--who", OURS.name, "--rounds", "2", "--size", str(SMALL), "--json", str(told)]
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    bench.main()
    run: dict[str, Any] = json.loads(told.read_text())
    assert set(run) == set(json.loads((ROOT / "benchmarks/results/bench.json").read_text()))
    assert {row: {who: len(rounds) for who, rounds in found.items()} for row, found in run["rows"].items()} == {
        "memory": {"Backyard": 2}
    }


def test_a_run_that_is_ended_leaves_nothing_behind(tmp_path: Path) -> None:
    program = f"""
import time
from benchmarks import bench
from benchmarks.contenders import ALONE
from benchmarks.rows import Row
def measure(stage, contender):
    with stage.turn(contender):
        stage.serve(contender)
        print("serves", flush=True)
        time.sleep(60)
bench.install = lambda **_: None
bench.rows = lambda size: [Row("one", measure, (ALONE,))]
bench.RESULTS = {str(tmp_path)!r}
bench.main()
"""
    words = [sys.executable, "-c", program, "--rounds", "1"]
    with Program(words, {}, tmp_path / "log") as run:
        run.await_line("serves")
        started = tree_of(run.child.pid)
        assert len(started) > 2, "the run, its server and the API"
        run.child.terminate()
        run.child.wait(30)
        assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []


def test_an_unknown_row_is_refused_with_those_there_are() -> None:
    words = [sys.executable, "-m", "benchmarks.bench", "--only", "worke"]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "There is no row worke. There are: submit, " in done.stderr
