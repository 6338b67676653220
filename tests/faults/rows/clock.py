"""Rows 15 and 23: long times, and a worker whose clock is wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path

from backyard.core.states import State
from faults.client import Submit
from faults.judge import Expected
from faults.run import Run, scenario
from faults.site import PATH, Site
from support.clean import wait_until

MONTH = 30 * 86_400

#: What Python runs first in the worker: there every clock that tells the date goes wrong. A library that shifts the
#: clock below Python would have to be compiled here; what the engine could read is Python's.
SHIFT = """
import datetime, os, time

_by = float(os.environ["FAULTS_SHIFT"])
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _by
time.time_ns = lambda: _time_ns() + int(_by * 1e9)
_datetime = datetime.datetime


class datetime_(_datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        return cls.fromtimestamp(time.time(), datetime.timezone.utc).replace(tzinfo=None)


datetime_.__name__ = datetime_.__qualname__ = "datetime"
datetime.datetime = datetime_
"""


@scenario("15", "task 5x the lease; delay 5x the lease; delay of 30 days")
def long_times(run: Run) -> None:
    with run.deployed(2, lease=1.0) as (site, client):
        begun = time.time()
        long = client.submit("work", {"seconds": 5})
        delayed = client.submit("work", delay=5)
        month = client.submit("work", delay=MONTH)
        wait_until(lambda: _final(site, long) and _final(site, delayed), "both end", patience=60)
        late = site.starts(delayed.task_id)[0].at - begun - 5
        run.note(f"the delayed one started {late:.2f} s after it was due")
        run.demand(0 <= late <= 2, f"due after 5 s, it started {late:.2f} s later")
        due = (site.client.zscore(site.key("due"), month.task_id) or 0) / 1000 - begun
        run.demand(abs(due - MONTH) < 5, f"the delay of 30 days is {due:.0f} s")
        run.demand(site.ledger.record(month.task_id).state is State.SCHEDULED, "the delay of 30 days is over")
        # Thirty days pass, as far as the due set can tell.
        site.client.zadd(site.key("due"), {month.task_id: 1}, xx=True)
        run.judge(site, client)
        for one in (long, delayed, month):
            run.demand(len(site.starts(one.task_id)) == 1, f"{one.task_id} was started more than once")


@scenario("23", "a worker's clock 60 s off")
def wrong_clock(run: Run) -> None:
    folder = run.folder / "shift"
    folder.mkdir(parents=True)
    Path(folder, "sitecustomize.py").write_text(SHIFT)
    with run.deployed(1) as (site, client):
        for shift in ("60", "-60"):
            site.start_workers(1, PYTHONPATH=f"{folder}{os.pathsep}{PATH}", FAULTS_SHIFT=shift)
        begun = time.time()
        delayed = {client.submit("work", delay=3 + number / 5).task_id: 3 + number / 5 for number in range(20)}
        retried = [client.submit("flaky") for _ in range(10)]
        long = [client.submit("work", {"seconds": 4 * site.lease}) for _ in range(3)]
        run.judge(site, client, Expected())
        early = [task_id for task_id, delay in delayed.items() if site.starts(task_id)[0].at < begun + delay]
        run.demand(not early, f"started before they were due: {early}")
        late = max(site.starts(task_id)[0].at - begun - delay for task_id, delay in delayed.items())
        run.note(f"time.time and datetime shifted in two workers by sitecustomize; at most {late:.1f} s late")
        for one in (*long, *retried):
            most = 1 if one in long else 2
            run.demand(
                len(site.starts(one.task_id)) == most, f"{one.name} started {len(site.starts(one.task_id))} times"
            )


def _final(site: Site, made: Submit) -> bool:
    return site.ledger.record(made.task_id).final
