"""`backyard drill` on a deployment of its own: calm, disturbed, and one in which the promises do not hold."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backyard.engine.canary import CANARY
from backyard.engine.drill import recovery
from faults.processes import send_all
from faults.rows.pool import revived
from faults.site import TARGET, Site
from support.web import connect


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A server; workers are started by those who want them."""
    # A lease that is longer than the program takes to look.
    made = Site(tmp_path, lease=30.0)
    yield made
    made.close()


def drill(site: Site, *words: str, answer: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backyard", "drill", TARGET, "--last", "2", *words]
    return subprocess.run(
        command, env={**os.environ, **site.environment}, input=answer, capture_output=True, text=True, check=False
    )


def report_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_calm_drill_disturbs_nothing(site: Site) -> None:
    (crew,) = site.start_workers(1)
    done = drill(site, "--canaries", "40")
    assert done.returncode == 0, done
    assert "40 canaries accepted, 40 done." in done.stdout
    assert "Every promise held." in done.stdout
    assert "struck" not in done.stdout
    assert crew.alive
    # The canary is none of the user's definitions.
    with connect(site.start_api()) as http:
        definitions = http.get("/definitions").text
    assert "work_async" in definitions
    assert CANARY not in definitions
    assert site.lines() == []


def test_killed_workers_and_connections_lose_nothing(site: Site) -> None:
    site.start_workers(2)
    with revived(site) as deaths:
        done = drill(
            site, "--canaries", "80", "--seconds", "0.2", "--kill-workers", "--kill-connections", "--yes", "--json"
        )
    report = report_of(done)
    assert (done.returncode, report["broken"]) == (0, []), report
    assert (report["accepted"], report["done"], report["kills"], deaths) == (80, 80, 2, [2])
    assert [what.split()[0] for _, what in report["struck"]] == ["CLIENT"] * 3 + ["SIGKILL"] * 2
    assert report["recovery"] is not None


def test_nothing_is_killed_without_a_yes(site: Site) -> None:
    (crew,) = site.start_workers(1)
    done = drill(site, "--kill-workers", answer="n\n")
    assert done.returncode == 1
    assert "Kill w1@" in done.stdout
    assert crew.alive


def test_a_deployment_that_stands_still_is_no_success(site: Site) -> None:
    (crew,) = site.start_workers(1)
    pids = site.freeze(crew)
    done = drill(site, "--canaries", "5", "--patience", "2", "--json")
    send_all(pids, signal.SIGCONT)
    report = report_of(done)
    assert done.returncode == 1
    assert len(report["stuck"]) == 5
    assert report["broken"][0].startswith("5 canaries did not end")


def test_without_workers_there_is_no_drill(site: Site) -> None:
    done = drill(site)
    assert done.returncode == 1
    assert "No living worker knows the canary" in done.stderr


def test_recovery_is_the_longest_wait_after_a_disturbance() -> None:
    assert recovery([], [(5, False)]) is None
    assert recovery([1_000], [(500, False)]) is None
    assert recovery([1_000], [(500, False), (1_500, False), (9_000, False)]) == 0.5
    assert recovery([1_000], [(1_500, False), (9_000, True)]) == 8.0
    assert recovery([1_000, 8_000], [(1_500, False), (8_100, True)]) == 0.5
