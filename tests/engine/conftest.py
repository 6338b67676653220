"""Fixtures: yards with the trials in them, seen from a program that submits, and workers that run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.clean import assert_clean
from support.processes import Process, start_worker
from support.stage import TARGET, Stage, staged


@pytest.fixture
def stage(environment: dict[str, str]) -> Iterator[Stage]:
    """A yard of the test's own, without workers."""
    with staged(environment) as made:
        yield made


@pytest.fixture
def workers(environment: dict[str, str]) -> Iterator[Callable[..., Process]]:
    """Start workers of the test's own yard; they are gone after the test."""
    started: list[Process] = []

    def start(*options: str) -> Process:
        process = start_worker(environment, *(options or ("--concurrency=1",)), target=TARGET)
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


@pytest.fixture(scope="module")
def crew(stack_environment: dict[str, str]) -> Iterator[Process]:
    """The worker of the module's yard."""
    process = start_worker(stack_environment, target=TARGET)
    yield process
    process.end()


@pytest.fixture(scope="module")
def shared_stage(stack_environment: dict[str, str]) -> Iterator[Stage]:
    """The module's yard."""
    with staged(stack_environment) as made:
        yield made


@pytest.fixture
def served(shared_stage: Stage, crew: Process) -> Iterator[Stage]:
    """The module's yard with its worker, which must be clean and alive after each test."""
    yield shared_stage
    assert_clean(shared_stage.ledger)
    assert crew.child.poll() is None, crew.output


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that lets waiting tasks go on once it exists; what they note stands beside it."""
    return tmp_path / "gate"
