"""Fixtures: the trials' yard with a worker, as a program that submits sees it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.clean import assert_clean
from support.processes import Process, start_worker
from support.stage import TARGET, Stage, staged


@pytest.fixture
def stage(environment: dict[str, str]) -> Iterator[Stage]:
    """A yard of the test's own, without workers."""
    with staged(environment) as made:
        yield made


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
