from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.bench import Bench, bench_of


@pytest.fixture
def bench(server_url: str) -> Iterator[Bench]:
    """The ledger of a new yard; when the test is over, no task of it may be lost."""
    with bench_of(server_url) as bench:
        yield bench
        bench.check_nothing_lost()
