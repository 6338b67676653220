"""Row 25: parts of a chord whose worker dies."""

from __future__ import annotations

import time

from celery import chord, group

from backyard import Backyard, Settings
from backyard.core.states import State
from faults.judge import Expected
from faults.run import Run, scenario
from faults.site import Site
from faults.storm import promised
from support.clean import wait_until

PARTS = 12


@scenario("25", "children of a chord or group when their worker dies")
def parts_lost(run: Run) -> None:
    with run.deployed(2) as (site, client):
        celery = _celery(site)
        part, total = celery.signature("part"), celery.signature("total")
        chords, groups = [], []
        for _ in range(run.size("chords", 3, 5)):
            header = [part.clone(args=(number,), kwargs={"seconds": 0.5}) for number in range(PARTS)]
            chords.append(chord(header, app=celery)(total.clone()))
            groups.append(
                group([part.clone(args=(number,), kwargs={"seconds": 0.2}) for number in range(4)], app=celery)()
            )
        ids = [one.id for result in chords for one in (*result.parent.results, result)]
        ids += [one.id for result in groups for one in result.results]
        for task_id in ids:
            client.adopt(task_id, "part")
        for number in range(2):
            begun = len(site.lines())
            wait_until(lambda begun=begun: len(site.lines()) > begun + 3, "parts run")  # type: ignore[misc]
            time.sleep(run.random.uniform(0, 0.4))
            site.kill(site.crews[number], guardian=number == 0)
            site.revive(site.crews[number])
        run.judge(site, client, Expected(extra_starts=2 * site.concurrency, recovery=promised(site.lease)))
        run.row.kills = "2 workers"
        for result in chords:
            record = site.ledger.record(result.id)
            run.demand(record.state is State.SUCCESS, f"the body of a chord is {record.state}")
            run.demand(record.json("result") == sum(range(PARTS)), f"the body returned {record.json('result')}")
            starts = site.starts(result.id)
            run.demand(len(starts) == 1, f"the body of a chord was started {len(starts)} times")
            last = max(line.at for line in site.lines() if line.task_id in {one.id for one in result.parent.results})
            run.demand(starts[0].at >= last, "the body ran before the last of its parts had ended")


def _celery(site: Site):  # type: ignore[no-untyped-def]  # noqa: ANN202 - Celery ships no types
    settings = Settings(redis_url=site.server.url, data_dir=site.folder, lease=site.lease)
    yard = Backyard(site.environment["TEST_YARD"], settings=settings)
    return yard.celery
