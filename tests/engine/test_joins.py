"""A chord whose last part was recorded, and whose worker died before it joined the parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import chord

from backyard.core.states import State
from support.clean import assert_clean, news_of, wait_until
from support.processes import start_worker
from support.stage import Stage

TARGET = "support.joins:yard.celery"


@pytest.mark.parametrize("dies", ["child", "worker"])
def test_the_body_is_sent_all_the_same(stage: Stage, environment: dict[str, str], tmp_path: Path, dies: str) -> None:
    deadly = {**environment, "TEST_JOIN": str(tmp_path / "died"), "TEST_DIES": dies}
    result = chord([stage.plain.multiply.s(1, 2), stage.plain.multiply.s(3, 4)], stage.plain.total.s()).apply_async()
    workers = [start_worker(deadly, "--concurrency=1", target=TARGET)]
    try:
        wait_until((tmp_path / "died").exists, "the last part's process dies")
        if dies == "worker":
            workers.append(start_worker(deadly, "--concurrency=1", target=TARGET))
        assert result.get(timeout=60) == 14
        assert_clean(stage.ledger)
    finally:
        for worker in workers:
            worker.end()
    for part in result.parent.results:
        assert [state for state, _ in news_of(stage.ledger, part.id)] == ["PENDING", "STARTED", "SUCCESS"]
    assert [state for state, _ in news_of(stage.ledger, result.id)].count(State.SUCCESS) == 1
