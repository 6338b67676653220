"""Rows 13 and 21: keepers are killed, stand still, and have no history; schedules go on."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select

from backyard.history.tables import audit
from faults.absence import VERB
from faults.client import Client, Job
from faults.plan import plan_faults, plan_jobs
from faults.processes import send_groups, session_of, state_of
from faults.run import Run, scenario
from faults.site import Crew, Site
from faults.storm import STRUCK, Storm, expected_after
from support.clean import wait_until
from support.keepers import await_recorded

#: Events that the stream keeps when they are recorded, so that it is trimmed again and again.
EVENTS_KEPT = 1_000
SCHEDULE = "tick"
#: Seconds for which a schedule may stand still while another keeper takes over.
GAP = 15.0


@scenario("13", "keeper killed; history database away 30 s", commit=True)
def keeper_killed(run: Run) -> None:
    others = run.size("others", 1, 3)
    counts = {"keeper": run.size("kills", 3, 10), "api": others, "worker": others, "server": others}
    # Of the four seconds that a fault's second is; a lock counts only where it is held longer than a writer waits.
    away = {"locked history": run.size("locked", 7, 30) / 4, "moved history": run.size("moved", 4, 30) / 4}
    drawn = plan_faults(run.random, {**counts, **dict.fromkeys(away, 1)})
    faults = [replace(fault, seconds=away.get(fault.kind, fault.seconds)) for fault in drawn]
    jobs = plan_jobs(run.random, run.size("tasks", 400, 5_000))
    run.note(f"plan: {' '.join(map(str, faults))}")
    with run.deployed(2, keepers=2, BACKYARD_EVENTS_KEPT=str(EVENTS_KEPT)) as (site, client):
        passing = Storm(site, client, jobs, faults)
        passing.run()
        for one in passing.absences:
            run.note(f"history {one.how} {one.seconds:g} s: {one.ended} attempts ended, {one.lag:.1f} s behind")
            run.demand(one.ended > 0, f"no task ended while the history was {one.how}")
            run.demand(
                one.lag > one.seconds / 2, f"{one.how} {one.seconds:g} s, the history was {one.lag:.1f} s behind"
            )
        stand_still(site, client)
        run.judge(site, client, expected_after(faults, site))
        written, kept = sum(one.writes for one in passing.absences), _operators_writes(site)
        run.demand(kept == written, f"I7 the audit trail has {kept} lines of {written}")
        killed = sum(STRUCK.get(kind, 0) * number for kind, number in passing.struck.items())
        run.row.kills = f"{counts['keeper']} keepers, {others} API, {killed} workers, {site.server_kills} Redis"


def stand_still(site: Site, client: Client) -> None:
    """Stop the keeper that records until another does; it goes on then where it stopped, and is too late."""
    await_recorded(site.ledger)
    keeper = _leader(site, "record")
    # By then it waits for news, which is the first that it sees when it goes on.
    time.sleep(0.3)
    with _frozen(keeper):
        client.submit_all([Job("work")] * 30)
        wait_until(lambda: site.leader("record") not in (None, keeper), "another keeper records")
        # One that stands in the middle of a transaction keeps the others waiting.
        with contextlib.suppress(AssertionError):
            await_recorded(site.ledger, patience=10)
    client.submit_all([Job("work")] * 30)


def _leader(site: Site, duty: str) -> Crew:
    leader = wait_until(lambda: site.leader(duty), f"a keeper leads '{duty}'")
    assert leader is not None
    return leader


@contextlib.contextmanager
def _frozen(keeper: Crew) -> Iterator[None]:
    pids = session_of(keeper.pid)
    send_groups(pids, signal.SIGSTOP)
    wait_until(lambda: all(state_of(pid) in "TXZ" for pid in pids), "the keeper stands still")
    try:
        yield
    finally:
        send_groups(pids, signal.SIGCONT)


def _operators_writes(site: Site) -> int:
    with site.history.reading() as connection:
        found = connection.execute(select(func.count()).select_from(audit).where(audit.c.verb == VERB)).scalar()
    return int(found or 0)


@scenario("21", "two keepers and five promoters; leader kill -9", commit=True)
def two_keepers(run: Run) -> None:
    kills = run.size("kills", 2, 8)
    with run.deployed(5, keepers=2, concurrency=1) as (site, client):
        _leader(site, "schedules")
        every_second = {"schedule_id": SCHEDULE, "name": "work", "every": 1, "overlap": "allow", "catch_up": "all"}
        made = client.call("POST", "/schedules", json=every_second)
        assert made.status_code == 201, made.text
        for _ in range(kills):
            # Beside the keepers that fire ticks, the workers promote what is due: each of them once.
            delays = [{"delay": round(run.random.uniform(0.1, 5), 2)} for _ in range(20)]
            client.submit_all([Job("work", options=one) for one in delays])
            time.sleep(run.random.uniform(0, 3))
            leader = _leader(site, "schedules")
            time.sleep(run.random.uniform(0, 1))
            site.kill_keeper(leader)
            site.revive(leader)
        killed = datetime.now(UTC)
        wait_until(lambda: _last_tick(client) > killed, "a keeper fires again")
        view = client.call("POST", f"/schedules/{SCHEDULE}/pause").json()
        ticks = _ticks(site)
        for task_id in ticks:
            client.adopt(task_id, "work")
        run.judge(site, client)
        _check_ticks(run, site, ticks, view)
        run.row.kills = f"{kills} leaders"


def _last_tick(client: Client) -> datetime:
    said = client.call("GET", f"/schedules/{SCHEDULE}").json()["last_tick"]
    return datetime.fromisoformat(said) if said else datetime.min.replace(tzinfo=UTC)  # none has come yet


def _ticks(site: Site) -> dict[str, datetime]:
    """Return when each task of the schedule was to run, which its id says, in that order."""
    ids = sorted(task_id.decode() for task_id in site.client.zrange(site.key("tasks"), 0, -1))
    form = f"{SCHEDULE}.%Y%m%dT%H%M%SZ"
    return {one: datetime.strptime(one, form).replace(tzinfo=UTC) for one in ids if one.startswith(f"{SCHEDULE}.")}


def _check_ticks(run: Run, site: Site, ticks: Mapping[str, datetime], view: Mapping[str, Any]) -> None:
    """Each second has one task, which started once, and soon."""
    first, last = (datetime.fromisoformat(view[name]) for name in ("date_created", "last_tick"))
    wanted = [first.replace(microsecond=0) + timedelta(seconds=number) for number in range((last - first).seconds + 2)]
    wanted = [one for one in wanted if first < one <= last]
    run.demand([*ticks.values()] == wanted, f"ticks of {wanted[0]} to {wanted[-1]}: {[*ticks]}")
    run.demand(view["fired"] == len(ticks), f"{view['fired']} ticks are counted, {len(ticks)} have a task")
    run.demand(view["missed"] == 0, f"{view['missed']} ticks were missed")
    starts = sorted((line.at, line.task_id) for line in site.lines() if line.what == "start" and line.task_id in ticks)
    late = max((at - ticks[task_id].timestamp() for at, task_id in starts), default=0.0)
    gap = max((after - before for (before, _), (after, _) in pairwise(starts)), default=0.0)
    run.note(f"{len(ticks)} ticks; the longest gap between two starts was {gap:.1f} s, the latest start {late:.1f} s")
    run.demand(sorted(task_id for _, task_id in starts) == [*ticks], "a tick did not start exactly once")
    run.demand(max(gap, late) <= GAP, f"a gap of {max(gap, late):.1f} s, not {GAP:g} s")
