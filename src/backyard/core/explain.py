"""Works out why a task is where it is: rules without I/O, of which the first that holds makes the sentence."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from backyard.core.definition import Definition
from backyard.core.errors import UnknownTaskError
from backyard.core.states import FINAL, RUNNING, State
from backyard.core.why import Facts, Reason, Why
from backyard.core.worker import Worker

#: Seconds a due task may wait for somebody who promotes it.
PROMOTED_WITHIN = 5.0

#: A reason, its sentence and its evidence; None where it is not the reason.
Answer = tuple[Reason, str, dict[str, Any]] | None


def explain_task(
    task_id: str, facts: Facts | None, workers: Sequence[Worker], definitions: Mapping[str, Definition]
) -> Why:
    """Say why a task is where it is.

    Args:
        task_id: The task.
        facts: What was read of it; None where nothing is known.
        workers: The workers that spoke lately.
        definitions: What is known here, by name; it says how often a task may be tried again.

    Raises:
        UnknownTaskError: There is no such task.
    """
    if facts is None:
        raise UnknownTaskError(f"No task has the id '{task_id}', or its record's lifetime has ended.")
    known = definitions.get(facts.name)
    return explain(replace(facts, workers=workers, retries=known.policy.retries if known else None))


def explain(facts: Facts) -> Why:
    """Say why a task is where it is: the first reason that holds.

    Args:
        facts: What was read.
    """
    for rule in RULES:
        answer = rule(facts)
        if answer is not None:
            reason, sentence, evidence = answer
            return Why(task_id=facts.task_id, state=facts.state, reason=reason, why=sentence, evidence=evidence)
    raise AssertionError(facts)  # the last rule always answers


def _over(facts: Facts) -> Answer:
    if facts.state not in FINAL:
        return None
    finished = facts.record.get("finished")
    when = f" {span(facts.ago(finished))} ago" if finished else ""
    evidence: dict[str, Any] = {"finished": stamp(finished), "attempt": int(facts.record.get("attempt", 0))}
    if facts.state is State.SUCCESS:
        return Reason.SUCCEEDED, f"It succeeded{when}, in attempt {evidence['attempt']}.", evidence
    if facts.state is State.REVOKED:
        return Reason.CANCELLED, f"It was cancelled{when}.", evidence
    failure = _json(facts.record.get("failure"))
    evidence["failure"] = {name: failure.get(name) for name in ("kind", "type", "message")}
    return Reason.FAILED, f"It failed{when}: {_failure(failure)}", evidence


def _running(facts: Facts) -> Answer:
    if facts.state not in RUNNING:
        return None
    worker = facts.record.get("worker", "an unknown worker")
    began = facts.record.get("started")
    evidence: dict[str, Any] = {
        "worker": worker, "attempt": int(facts.record.get("attempt", 0)), "started": stamp(began),
        "lease_left": None if facts.lease is None else round((facts.lease - facts.now) / 1000, 1),
    }  # fmt: skip
    since = f" for {span(facts.ago(began))}" if began else ""
    known = next((one for one in facts.workers if one.worker_name == worker), None)
    if facts.record.get("replaced"):
        return Reason.REPLACED, "It has put other tasks in its place, and ends with the last of them.", evidence
    if facts.place == "held" and (known is None or not known.alive):
        lost = _lost(facts, worker, evidence, known)
        if lost is not None:
            return lost
    progress = _json(facts.record.get("progress"))
    evidence["progress"] = progress or None
    if facts.record.get("cancel"):
        evidence |= {
            "cancel_requested": stamp(facts.record["cancel"]), "cancel_seen": stamp(facts.record.get("cancel_seen")),
        }  # fmt: skip
        seen = "has seen that" if facts.record.get("cancel_seen") else "has not seen that yet"
        asked = span(facts.ago(facts.record["cancel"]))
        return Reason.STOPPING, f"It was told to stop {asked} ago; it runs on {worker}{since}, which {seen}.", evidence
    percent, text = progress.get("percent"), progress.get("message")
    how = "".join((f", {percent:g} % done" if percent is not None else "", f" ({text})" if text else ""))
    return Reason.RUNNING, f"It is running on {worker}{since}{how}.", evidence


def _lost(facts: Facts, worker: str, evidence: dict[str, Any], known: Worker | None) -> Answer:
    """Say what happens to a task whose worker is silent; None where its lease is being renewed all the same."""
    left = evidence["lease_left"]
    silent = f" for {span(known.age)}" if known is not None else ""
    evidence["worker_silent"] = None if known is None else round(known.age, 1)
    if left is None or left <= 0:
        wait = max(0.0, (facts.grace - facts.now) / 1000)
        evidence["grace_left"] = round(wait, 1)
        if wait:
            then = f"The server was away, so the living get {span(wait)} more to renew; then it is queued again."
        elif not facts.living():
            then = "It is queued again as soon as a worker lives."
        else:
            then = "It is queued again at any moment."
        return (
            Reason.WORKER_LOST,
            f"Its worker {worker} has been silent{silent}, and its lease has run out. {then}",
            evidence,
        )
    if known is None:
        return None
    then = f"Its lease runs out in {span(left)}; then it is queued again."
    return Reason.WORKER_LOST, f"Its worker {worker} has been silent{silent}. {then}", evidence


def _paused(facts: Facts) -> Answer:
    for kind, said in facts.paused.items():
        known = _json(said)
        name = facts.queue if kind == "queue" else facts.name
        since = known.get("since")
        evidence = {"paused": kind, "name": name, "since": stamp(since), "reason": known.get("reason")}
        ago = f" for {span(facts.ago(since))}" if since else ""
        because = f": {known['reason']}" if known.get("reason") else ""
        return Reason.PAUSED, f"The {kind} '{name}' has been paused{ago}{because}.", evidence
    return None


def _limited(facts: Facts) -> Answer:
    limit = facts.record.get("parked")
    if not limit:
        return None
    kind, _, name = limit.partition(":")
    said = facts.record.get("limit_said", "")
    evidence: dict[str, Any] = {
        "limit": limit, "most": int(said) if said.isdigit() else None, "held_by": facts.holders,
        "tasks": list(facts.holding), "ahead": facts.parked_before,
    }  # fmt: skip
    before = f" {facts.parked_before} wait for it before this one." if facts.parked_before else ""
    if kind == "paused":
        return (
            Reason.PAUSED,
            f"The {name.replace(':', ' ')} was paused and goes on: what waits is queued step by step.",
            evidence,
        )
    if kind == "rate":
        return Reason.LIMIT, f"The rate of '{name}' allows no other start right now.{before}", evidence
    what = {
        "running": "as many tasks run in this yard as may",
        "definition": f"as many tasks of '{name}' run as may",
        "key": f"as many tasks of '{name.partition(':')[0]}' with the key '{name.partition(':')[2]}' run as may",
    }.get(kind, f"the limit '{limit}' is reached")
    who = ", ".join(facts.holding) + (" and others" if facts.holders > len(facts.holding) else "")
    most = f" ({said} at once)" if evidence["most"] else ""
    return Reason.LIMIT, f"{what[0].upper()}{what[1:]}{most}{': ' + who if facts.holding else ''}.{before}", evidence


def _delayed(facts: Facts) -> Answer:
    if facts.state not in (State.SCHEDULED, State.RETRY):
        return None
    due = facts.due_at if facts.due_at is not None else float(facts.record.get("due") or 0)
    evidence: dict[str, Any] = {"due": stamp(due)}
    first = ""
    if facts.state is State.RETRY:
        attempt, failure = int(facts.record.get("attempt", 0)), _json(facts.record.get("failure"))
        evidence |= {"attempt": attempt, "retries": facts.retries, "failure": failure or None}
        most = f" of {facts.retries + 1}" if facts.retries is not None else ""
        first = f"Attempt {attempt}{most} failed{': ' + _failure(failure) if failure else '.'} "
    elif facts.record.get("put_off"):
        evidence["put_off"] = int(facts.record["put_off"])
        first = f"The worker that took it does not know the definition '{facts.name}', and left it for others. "
    left = (due - facts.now) / 1000
    if facts.due_at is None:
        return Reason.NO_ENTRY, f"{first}Nothing would queue it any more. `backyard check` repairs that.", evidence
    if -left > PROMOTED_WITHIN and not facts.living():
        late = f"It was due {span(-left)} ago, and no worker lives that would queue it."
        return Reason.NO_WORKER, f"{first}{late} Start one with `backyard worker`.", evidence
    when = f"It is due in {span(left)}, at {stamp(due)}." if left > 0 else "It is due now."
    return Reason.DUE, first + when, evidence


def _nowhere(facts: Facts) -> Answer:
    if facts.place in ("ready", "held"):
        return None
    if not facts.queue:
        return Reason.QUEUED, "It was sent through another broker, which this yard cannot see.", {}
    return Reason.NO_ENTRY, "Its queue entry is gone. `backyard check` queues it again.", {"queue": facts.queue}


def _taken(facts: Facts) -> Answer:
    if facts.place != "held":
        return None
    left = None if facts.lease is None else (facts.lease - facts.now) / 1000
    evidence: dict[str, Any] = {"queue": facts.queue, "lease_left": None if left is None else round(left, 1)}
    if left is None or left <= 0:
        sentence = "A worker took it and was lost before it began; it is queued again when another worker looks."
        return Reason.WORKER_LOST, sentence, evidence
    return Reason.TAKEN, "A worker has taken it, and begins it as soon as one of its processes is free.", evidence


def _no_worker(facts: Facts) -> Answer:
    living = facts.living()
    evidence: dict[str, Any] = {
        "queue": facts.queue,
        "workers": [{"worker": one.worker_name, "queues": one.queues, "state": one.state.value} for one in living],
    }
    readers = facts.readers()
    if not living:
        sentence = f"No worker lives. Start one with `backyard worker --queues {facts.queue}`."
        return Reason.NO_WORKER, sentence, evidence
    if not readers:
        leaving = [one.worker_name for one in living if facts.queue in one.queues]
        rest = f"the only ones ({', '.join(leaving)}) are about to stop" if leaving else _others(living)
        sentence = f"No worker takes from the queue '{facts.queue}': {rest}."
        return Reason.NO_WORKER, sentence, evidence
    if not any(facts.name in one.registered_tasks for one in readers):
        names = ", ".join(one.worker_name for one in readers) + (" does" if len(readers) == 1 else " do")
        sentence = f"No worker of the queue '{facts.queue}' knows the definition '{facts.name}': {names} not."
        return Reason.UNKNOWN_DEFINITION, sentence, evidence
    return None


def _others(living: Sequence[Worker]) -> str:
    shown = [f"{one.worker_name} reads {', '.join(one.queues) or 'none'}" for one in living[:5]]
    return "; ".join(shown) + ("; and others" if len(living) > len(shown) else "")


def _queued(facts: Facts) -> Answer:
    ahead, readers = facts.ahead, facts.readers()
    seconds = (facts.now - facts.starts_since) / 1000
    rate = facts.starts / seconds if facts.starts and seconds > 0 else None
    wait = None if rate is None else round((ahead + 1) / rate, 1)
    evidence: dict[str, Any] = {
        "queue": facts.queue, "lane": facts.record.get("entry", "").partition("/")[0], "ahead": ahead,
        "ahead_is_exact": not facts.at_least, "starts_per_second": None if rate is None else round(rate, 3),
        "estimated_wait": wait, "workers": [one.worker_name for one in readers],
        "slots": sum(one.max_concurrency for one in readers),
    }  # fmt: skip
    if not ahead:
        return Reason.QUEUED, f"It is the next of the queue '{facts.queue}'.", evidence
    many = f"{'At least ' if facts.at_least else ''}{ahead:,}"
    about = f", which takes about {span(wait)} at the present rate" if wait is not None else ""
    verb = "is" if ahead == 1 and not facts.at_least else "are"
    return Reason.QUEUED, f"{many} {verb} ahead of it in the queue '{facts.queue}'{about}.", evidence


#: In this order: the first that answers is the reason. The last always does.
RULES: Sequence[Callable[[Facts], Answer]] = (
    _over, _running, _paused, _limited, _delayed, _nowhere, _taken, _no_worker, _queued,
)  # fmt: skip


def span(seconds: float) -> str:
    """Write a duration as people say it.

    Args:
        seconds: Its length.
    """
    seconds = max(0.0, seconds)
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"  # noqa: PLR2004 - tenths matter below


def stamp(moment: float | str | None) -> str | None:
    """Write a time in milliseconds since 1970 in ISO 8601; None stays None."""
    if not moment:
        return None
    return datetime.fromtimestamp(float(moment) / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _failure(failure: Mapping[str, Any]) -> str:
    text = f"{failure.get('type', 'an unknown error')}: {failure.get('message', '')}".rstrip(": ")
    first = text.partition("\n")[0]
    return first if first.endswith((".", "!", "?")) else f"{first}."


def _json(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
