"""Lines on their way to the ledger: together, in order, and none of them twice."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from backyard.ledger import task_log
from backyard.ledger.ledger import Ledger
from backyard.ledger.task_log import BATCH, TaskLog
from support.bench import Bench
from support.clean import wait_until


class Slow(Ledger):
    """A ledger whose answers wait for a gate; how many lines came with each call is noted."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.ledger.url, bench.keys.yard, timeout=30.0)
        self.gate = threading.Event()
        self.sizes: list[int] = []

    def run(self, call: Any) -> Any:
        self.gate.wait(30)
        self.sizes.append(len(call.words) - 4)
        return super().run(call)


@pytest.fixture
def slow(bench: Bench) -> Slow:
    return Slow(bench)


def written(bench: Bench, task_id: str) -> list[str]:
    return [line["message"] for line in bench.run(bench.calls.log(task_id))]


def test_many_lines_go_with_few_calls(bench: Bench, slow: Slow) -> None:
    task_id, _ = bench.running()
    log = TaskLog(slow, task_id, 1)
    for number in range(250):
        log.write(str(number), "info", time.time())
    slow.gate.set()
    log.close()
    assert written(bench, task_id) == [str(number) for number in range(250)]
    assert sum(slow.sizes) == 250
    assert max(slow.sizes) <= BATCH
    assert len(slow.sizes) <= 4, "a call for many lines"


def test_lines_of_many_threads_all_come(bench: Bench, slow: Slow) -> None:
    task_id, _ = bench.running()
    log = TaskLog(slow, task_id, 1, room=1 << 26)
    slow.gate.set()

    def write(who: int) -> None:
        for number in range(100):
            log.write(f"{who} {number}", "info", time.time())

    threads = [threading.Thread(target=write, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = written(bench, task_id)
    assert len(found) == 800
    for who in range(8):
        assert [line for line in found if line.startswith(f"{who} ")] == [f"{who} {number}" for number in range(100)]


def test_a_line_is_sent_without_being_asked(bench: Bench, slow: Slow) -> None:
    task_id, _ = bench.running()
    slow.gate.set()
    log = TaskLog(slow, task_id, 1)
    log.write("alone", "info", time.time())
    wait_until(lambda: written(bench, task_id) == ["alone"], "it is there")
    log.write("another", "info", time.time())
    wait_until(lambda: written(bench, task_id) == ["alone", "another"], "it is there as well")


def test_an_attempt_that_is_over_says_nothing(bench: Bench, slow: Slow) -> None:
    task_id, _ = bench.running()
    slow.gate.set()
    log = TaskLog(slow, task_id, 2)
    log.write("of another", "info", time.time())
    log.close()
    assert log.ended
    log.write("after the end", "info", time.time())
    assert log.send()
    assert written(bench, task_id) == []


def test_a_line_that_logs_while_it_is_written(bench: Bench, slow: Slow) -> None:
    task_id, _ = bench.running()
    slow.gate.set()
    log = TaskLog(slow, task_id, 1)

    class Talking:
        def __str__(self) -> str:
            log.write("inner", "info", time.time())
            return "text"

    log.write("outer", "info", time.time(), fields={"thing": Talking()})
    log.close()
    assert written(bench, task_id) == ["inner", "outer"]


def test_an_answer_that_nobody_expects_ends_the_log_and_nothing_else(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    task_id, _ = bench.running()

    class Broken(Ledger):
        def run(self, call: Any) -> Any:
            raise ValueError(str(call.words[0]))

    log = TaskLog(Broken(bench.ledger.url, bench.keys.yard), task_id, 1)
    log.write("lost", "info", time.time())
    log.close()
    assert log.ended
    assert f"Lines of task {task_id} are lost" in caplog.text


def test_a_process_has_one_sender() -> None:
    assert task_log.sender() is task_log.sender()
