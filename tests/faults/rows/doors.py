"""Rows 17, 19, 20 and 24: what comes through the HTTP door, wanted, too large, too much, or twice."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from backyard.core.states import State
from faults.client import Client, Job, Submit
from faults.judge import Expected
from faults.processes import memory_of
from faults.run import Run, scenario
from faults.site import Site
from support.clean import wait_until

#: Of row 20's tasks, the share that may wait at once.
LIMIT = 0.05


@scenario("17", "cancel: queued, running, no worker up, then Redis restarted", commit=True)
def cancelled(run: Run) -> None:
    with run.deployed(1) as (site, client):
        gate = run.folder / "gate"
        running = [client.submit("hold", {"gate": str(gate)}) for _ in range(2)]
        for one in running:
            wait_until(lambda one=one: site.starts(one.task_id), "it starts")  # type: ignore[misc]
        queued = [client.submit("work") for _ in range(5)]
        delayed = [client.submit("work", delay=1.5) for _ in range(3)]
        _cancel(client, [*queued, *delayed, running[0]])
        wait_until(lambda: site.ledger.record(running[0].task_id).final, "a running one stops")
        # Nobody is there: the cancel has to be kept, by the server alone.
        site.kill(site.crews[0], guardian=True)
        alone = [client.submit("work") for _ in range(5)]
        _cancel(client, [*alone[:4], running[1]])
        site.kill_server(away=0.5)
        site.revive(site.crews[0], wait=True)
        never = {one.task_id for one in (*queued, *delayed, *alone[:4])}
        revoked = never | {one.task_id for one in running}
        run.judge(site, client, Expected(revoked=revoked))
        run.row.kills = "1 worker, 1 Redis"
        for task_id in revoked:
            state = site.ledger.record(task_id).state
            run.demand(state is State.REVOKED, f"{task_id} was cancelled, and is {state}")
        started = [task_id for task_id in never if site.starts(task_id)]
        run.demand(not started, f"cancelled in the queue, and started: {started}")
        run.demand(site.ledger.record(alone[4].task_id).state is State.SUCCESS, "the one that stayed did not run")


def _cancel(client: Client, tasks: list[Submit]) -> None:
    for one in tasks:
        answer = client.call("DELETE", f"/tasks/{one.task_id}")
        assert answer.status_code == 204, answer.text


@scenario("19", "input over the limit; 50 MB body; 10,000-deep JSON")
def too_large(run: Run) -> None:
    with run.deployed(1) as (site, client):
        assert site.api is not None
        client.submit_all([Job("work")] * 50)
        before = memory_of(site.api.child.pid)
        bodies: list[tuple[str, bytes, set[int]]] = [
            ("over the limit", b'{"seconds": ' + b" " * 1_100_000 + b"0}", {413}),
            ("50 MB", b'{"seconds": "' + b"x" * 50_000_000 + b'"}', {413}),
            ("10,000 deep", b"[" * 10_000 + b"]" * 10_000, {413, 422}),
            ("10,000 deep, inside", b'{"seconds": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", {413, 422}),
        ]
        for name, body, allowed in bodies:
            for _ in range(5):
                status = _post(client, body)
                run.demand(status in allowed, f"{name}: answered with {status}")
        grown = (memory_of(site.api.child.pid) - before) / 1_000_000
        run.note(f"the API's memory grew by {grown:.1f} MB")
        run.demand(grown < 32, f"the API's memory grew by {grown:.0f} MB")
        client.submit_all([Job("work")] * 20)
        run.judge(site, client)


def _post(client: Client, body: bytes) -> int:
    import httpx2  # noqa: PLC0415 - only here

    try:
        answer = client.call("POST", "/tasks/work", content=body, headers={"content-type": "application/json"})
    except (httpx2.WriteError, httpx2.ReadError):
        return 413  # it said so, and closed the connection before all of the body was sent
    return int(answer.status_code)


@scenario("20", "overload: 20,000 submits, one worker")
def overload(run: Run) -> None:
    number = run.size("tasks", 2_000, 20_000)
    with run.deployed(1, BACKYARD_MAX_QUEUED=str(int(number * LIMIT))) as (site, client):
        made = client.submit_all([Job("work")] * number, threads=8)
        times = sorted(one.took for one in made)
        slow = times[int(len(times) * 0.99)]
        refused = [one for one in made if one.answer == "refused"]
        run.note(f"p99 of a submit {slow * 1000:.0f} ms; {len(refused)} refused with 429")
        run.demand(slow <= 0.5, f"p99 of a submit is {slow:.2f} s, not 0.5 s")
        run.demand(
            all(one.status == 429 and one.retry_after > 0 for one in refused), "a refusal has no 429 with Retry-After"
        )
        run.judge(site, client)


@scenario("24", "one Idempotency-Key x50 at once; retry after unsure", commit=True)
def idempotency(run: Run) -> None:
    with run.deployed(1) as (site, client):
        keys = [uuid.uuid4().hex for _ in range(run.size("keys", 2, 5))]
        for key in keys:
            with ThreadPoolExecutor(50) as pool:
                made = list(pool.map(lambda _, key=key: _with_key(client, key), range(50)))
            ids = {one.task_id for one in made}
            run.demand(len(ids) == 1, f"50 submits with one key made {len(ids)} tasks")
            run.demand(sorted({one.status for one in made}) == [200, 201], f"{sorted({one.status for one in made})}")
            run.demand([one.status for one in made].count(201) == 1, "not exactly one of them made the task")
        unsure = _unsure(site, client)
        run.demand(unsure, "no submit was unsure")
        for one in unsure:
            again = [client.submit("work", task_id=one.task_id) for _ in range(3)]
            run.demand({a.answer for a in again} == {"accepted"}, f"repeating an unsure submit: {again}")
            run.demand({a.task_id for a in again} == {one.task_id}, "repeating made another task")
        run.judge(site, client)
        listed = [task["task_id"] for task in client.call("GET", "/tasks?limit=500").json()]
        run.demand(len(listed) == len(keys) + len(unsure), f"{len(listed)} tasks exist")
        run.demand(all(len(site.starts(task_id)) == 1 for task_id in listed), "a task was started more than once")


def _with_key(client: Client, key: str) -> Submit:
    return client.submit("work", task_id=None, headers={"Idempotency-Key": key})


def _unsure(site: Site, client: Client) -> list[Submit]:
    """Submit while the server is frozen, so that nobody knows what became of it."""
    with site.frozen_server():
        made = [client.submit("work") for _ in range(2)]
    time.sleep(0.5)
    return [one for one in made if one.answer == "unsure"]
