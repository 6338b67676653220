"""Row 18: entries that no worker can run, put into the queue by hand."""

from __future__ import annotations

import json
import time
from typing import Any

from backyard.core.models import FailureKind
from backyard.core.states import State
from backyard.engine.message import compose, message_in
from backyard.ledger.submission import Submission
from faults.judge import Expected
from faults.run import Run, scenario
from faults.site import Site
from support.clean import counted, wait_until


def _good(task_id: str) -> dict[str, Any]:
    message: dict[str, Any] = message_in(
        compose(task_id, "work", b"{}", queue="default", lane="normal", timelimit=(None, None))
    )
    return message


def _kinds(task_id: str) -> dict[str, bytes]:
    """Return a message of each kind for a task."""

    def changed(part: str, **values: Any) -> bytes:
        message = _good(task_id)
        (message[part] if part else message).update(values)
        return json.dumps(message).encode()

    def without(part: str, name: str) -> bytes:
        message = _good(task_id)
        del (message[part] if part else message)[name]
        return json.dumps(message).encode()

    return {
        "empty": b"",
        "no JSON": b"{",
        "no UTF-8": b"\xff\xfe\x00",
        "a list": b"[]",
        "nested too deep": b"[" * 100_000,
        "no properties": without("", "properties"),
        "no body": without("", "body"),
        "a body of another shape": changed("", body="[1, 2]"),
        "a body that is no JSON": changed("", body="{"),
        "no headers": without("", "headers"),
        "no task name": without("headers", "task"),
        "an id that is a number": changed("headers", id=7),
        "retries in words": changed("headers", retries="x"),
        "an unknown content type": changed("", **{"content-type": "application/nonsense"}),
        "pickle": changed("", **{"content-type": "application/x-python-serialize", "body": "gASVAAAAAAAAAAA="}),
        "an unknown task name": changed("headers", task="nobody_knows"),
    }


@scenario("18", "malformed entries (a dozen kinds), unknown task name", commit=True)
def malformed(run: Run) -> None:
    # A lease so long that what waits for one is found, however busy the machine is.
    with run.deployed(1, lease=30.0) as (site, client):
        crew = site.crews[0]
        pid = crew.pid
        client.submit("work")
        aside = 0
        for number, kind in enumerate(_kinds("")):
            for recorded in (True, False):
                task_id = f"m{number}{'r' if recorded else 'x'}"
                _add(site, task_id, _kinds(task_id)[kind], recorded=recorded)
                if recorded:
                    client.adopt(task_id, "work")
                begun = time.monotonic()
                following = client.submit("work")
                client.call("GET", f"/tasks/{following.task_id}", params={"wait": 30})
                took = time.monotonic() - begun
                run.demand(took <= 10, f"{kind}: the next task took {took:.1f} s")
                aside += 1
                wait_until(lambda aside=aside: site.client.xlen(site.key("dead")) == aside, f"{kind} is kept aside")  # type: ignore[misc]
                if recorded:
                    state = site.ledger.record(task_id).state
                    run.demand(state is State.FAILURE, f"{kind}: its task is {state}")
        rows = site.client.xrange(site.key("dead"))
        run.demand(all(fields.get(b"reason") for _, fields in rows), "an entry is kept without a reason")
        run.demand(
            counted(site.ledger).get("set_aside") == aside,
            f"{aside} were set aside, counted are {counted(site.ledger)}",
        )
        run.judge(site, client, Expected(failures={"work": set(FailureKind)}))
        run.note(f"{aside} entries of {len(_kinds(''))} kinds")
        run.demand(crew.alive and crew.pid == pid, "I8 the worker did not survive")


def _add(site: Site, task_id: str, message: bytes, *, recorded: bool) -> None:
    """Put a message into the queue: as a task's living entry, or by hand, without any record."""
    if recorded:
        site.ledger.submit([Submission(task_id, "work", "default", "normal", message, lifetime=600)])
    else:
        site.client.xadd(site.ledger.keys.queue("default", "normal"), {"t": task_id, "m": message, "r": "0"})
