"""The flight recorder's file, and what the system tells of processes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backyard.engine import flight
from backyard.engine.flight_file import CURRENT, FIRST, HALF, SIZE, FlightFile, flights, read_flight, write_peak
from backyard.engine.processes import ending_of, open_pidfd, own_peak_rss, peak_rss, start_of, state_of
from support.clean import wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "77.0"


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[flight.Recorder]:
    """The recorder of this process, in a folder of the test's own."""
    monkeypatch.setattr(flight, "_folder", tmp_path)
    monkeypatch.setattr(flight, "_recorder", None)
    found = flight.recorder()
    assert found is not None
    yield found
    flight.end()
    logging.getLogger().removeHandler(found)


def test_what_was_written_is_read(path: Path) -> None:
    file = FlightFile(path, 123)
    assert read_flight(path) == {"pid": 77, "started": 123, "peak_rss": 0}
    file.write({"task": "a", "attempt": 1, "lines": ["é", "\n"], "peak_rss": 5})
    assert read_flight(path) == {
        "pid": 77, "started": 123, "peak_rss": 5, "task": "a", "attempt": 1, "lines": ["é", "\n"],
    }  # fmt: skip
    write_peak(path, 2**40)
    file.write({"task": "b", "lines": []})
    assert read_flight(path) == {"pid": 77, "started": 123, "peak_rss": 2**40, "task": "b", "lines": []}
    assert path.stat().st_size == SIZE
    assert path.stat().st_mode & 0o777 == 0o600
    file.remove()
    assert read_flight(path) is None
    write_peak(path, 1)
    assert not path.exists()


def test_a_death_in_the_middle_of_writing_leaves_the_entry_before(path: Path) -> None:
    file = FlightFile(path, 0)
    for number in range(2):
        file.write({"task": f"whole {number}"})
        data = bytearray(path.read_bytes())
        other = 2 if data[CURRENT] == 1 else 1
        start = FIRST + (other - 1) * HALF
        data[start : start + 40] = os.urandom(40)
        torn = path.with_name("78.0")
        torn.write_bytes(data)
        assert (read_flight(torn) or {})["task"] == f"whole {number}"


def test_of_too_many_lines_the_newest_are_kept(path: Path) -> None:
    file = FlightFile(path, 0)
    file.write({"task": "a", "lines": [f"{number}" + "\n" * 499 for number in range(20)]})
    lines = (read_flight(path) or {})["lines"]
    assert [text.strip() for text in lines] == [str(number) for number in range(12, 20)]


@pytest.mark.parametrize("content", [b"", b"\1", b"\1" + bytes(70), b"\2" + b"x" * SIZE, b"\xff" * SIZE])
def test_a_broken_file_is_none(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read_flight(path) is None


def test_a_file_is_made_once(path: Path) -> None:
    FlightFile(path, 0)
    with pytest.raises(FileExistsError):
        FlightFile(path, 0)


def test_files_are_told_by_process(tmp_path: Path) -> None:
    for name in ("7.0", "7.1", "70.0", "ending", "x.0"):
        (tmp_path / name).touch()
    assert [path.name for path in flights(tmp_path)] == ["7.0", "7.1", "70.0"]
    assert [path.name for path in flights(tmp_path, 7)] == ["7.0", "7.1"]
    assert list(flights(tmp_path / "none")) == []


# -- the recorder -----------------------------------------------------------------------------------------------------


def entries(folder: Path) -> dict[str, list[str]]:
    found = [read_flight(path) or {} for path in flights(folder)]
    return {entry["task"]: entry["lines"] for entry in found if "task" in entry}


def test_each_attempt_has_its_own_lines(tmp_path: Path, recorder: flight.Recorder) -> None:
    begun, both = threading.Barrier(2, timeout=60), threading.Barrier(3, timeout=60)

    def attempt(name: str) -> None:
        flight.begin(name, 1)
        begun.wait()
        flight.line(f"own {name}")
        logging.getLogger("x").error("logged %s", name)
        both.wait()
        flight.end()

    threads = [threading.Thread(target=attempt, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    both.wait()
    assert entries(tmp_path) == {name: [f"own {name}", f"ERROR x: logged {name}"] for name in "ab"}
    for thread in threads:
        thread.join()
    flight.begin("c", 1)
    assert len(list(flights(tmp_path))) == 2, "a file is used again"
    assert recorder.only() is not None


def test_a_thread_of_the_task_speaks_for_the_only_attempt(tmp_path: Path, recorder: flight.Recorder) -> None:
    assert recorder.only() is None
    logging.getLogger("x").error("nobody runs")
    flight.begin("a", 1)
    thread = threading.Thread(target=lambda: logging.getLogger("x").error("from a thread"))
    thread.start()
    thread.join()
    recorder.emit(logging.LogRecord("x", logging.ERROR, __file__, 1, "%d is no number", ("this",), None))
    assert entries(tmp_path) == {"a": ["ERROR x: from a thread"]}


def test_a_full_disk_is_no_reason_not_to_run(
    tmp_path: Path, recorder: flight.Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(flight, "FlightFile", full)
    flight.begin("a", 1)
    flight.line("goes nowhere")
    flight.end()
    assert entries(tmp_path) == {}
    assert recorder.only() is None


def test_last_words_are_those_of_the_task(tmp_path: Path, recorder: flight.Recorder) -> None:
    flight.begin("a", 1)
    flight.line("last")
    assert flight.last_words(os.getpid() + 1) == {}
    words = flight.last_words(os.getpid())["a"]
    assert words["lines"] == ["last"]
    assert words["peak_rss"] > 1_000_000
    assert entries(tmp_path) == {}
    recorder.remove()


def test_folders_of_the_dead_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    own = f"backyard-{os.getpid()}-{start_of(os.getpid())}-x"
    names = [f"backyard-{gone.pid}-5-x", f"backyard-{os.getpid()}-5-x", own, "backyard-mine", "backyard-a-b-c"]
    for name in names:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(flight, "_folder", None)
    monkeypatch.setattr(flight, "_recorder", None)
    made = flight.open_folder()
    assert made is not None
    assert made.stat().st_mode & 0o777 == 0o700
    left = {path.name for path in tmp_path.iterdir()} - {made.name}
    assert left == {own, "backyard-mine", "backyard-a-b-c"}
    flight.close_folder(os.getpid() + 1)
    assert made.exists(), "a pool's child ends, not the worker"
    flight.close_folder(os.getpid())
    assert not made.exists()


# -- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("import os; os._exit(7)", {"exit_code": 7}),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", {"signal": "SIGSEGV"}),
        ("import os; os.kill(os.getpid(), 9)", {"signal": "SIGKILL"}),
    ],
)
def test_how_a_process_ended(code: str, ending: dict[str, object]) -> None:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", code])
    pidfd = open_pidfd(process.pid)
    wait_until(lambda: state_of(process.pid) == "Z", "it is dead, and nobody has waited for it")
    assert ending_of(process.pid, None) == ending
    process.wait()
    assert ending_of(process.pid, None) == {}
    assert state_of(process.pid) == ""
    if pidfd is not None:
        assert ending_of(process.pid, pidfd) in (ending, {})  # older kernels forget it
        os.close(pidfd)


def test_a_process_that_lives_has_not_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        pidfd = open_pidfd(process.pid)
        assert ending_of(process.pid, pidfd) == {}
        assert state_of(process.pid) in "RSD"
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(process.pid) == "T", "it is stopped")
        assert start_of(process.pid) > start_of(os.getpid())
        if pidfd is not None:
            os.close(pidfd)
    finally:
        process.kill()
        process.wait()


def test_memory_is_told_alike_from_inside_and_outside() -> None:
    assert peak_rss(os.getpid()) == pytest.approx(own_peak_rss(), rel=0.2)
    assert peak_rss(2**22 + 1) == 0
    assert start_of(2**22 + 1) == 0
