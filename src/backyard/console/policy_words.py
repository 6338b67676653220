"""A definition's policy, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backyard.console.wording import duration, plural
from backyard.core.kinds import name_of
from backyard.core.policy import Policy
from backyard.settings import Settings

#: The name of a rule, and what it says.
Rule = tuple[str, str]


def rules_of(policy: Policy, settings: Settings) -> list[Rule]:
    """Return what a policy says, rule by rule.

    Args:
        policy: The policy.
        settings: The yard's settings, which hold where the policy says nothing.
    """
    kept = policy.result_expires or settings.result_expires
    return [
        ("Queue", policy.queue),
        ("Priority", policy.priority),
        ("Time limit", f"{duration(policy.timeout)} for an attempt" if policy.timeout else "none"),
        *_retries(policy),
        (
            "Expires",
            f"{duration(policy.expires)} after it is due, if it has not started" if policy.expires else "never",
        ),
        *_limits(policy),
        *_crashes(policy, settings),
        ("Record", f"kept in the ledger for {duration(kept)} after the end"),
        ("History", _history(policy)),
        ("Webhook", policy.webhook or "none of its own"),
    ]


def _retries(policy: Policy) -> list[Rule]:
    if not policy.retries:
        return [("Retries", "none")]
    rules = [("Retries", f"{plural(policy.retries, 'further attempt')} after {_kinds(policy.retry_on)}")]
    if policy.give_up_on:
        rules.append(("Gives up on", _kinds(policy.give_up_on)))
    jitter = "with jitter" if policy.jitter else "without jitter"
    most = f"{duration(policy.backoff_max)} at most"
    rules.append((
        "Waits between", f"{_backoff(policy.backoff)}, doubled each time, {most}, {jitter}"
    ))  # fmt: skip
    return rules


def _kinds(kinds: tuple[Any, ...]) -> str:
    names = ["any error" if kind is Exception else name_of(kind) for kind in kinds]
    return ", ".join(names) or "no error"


def _backoff(backoff: Any) -> str:
    if not isinstance(backoff, Mapping):
        return duration(backoff)
    return "; ".join(
        f"{'others' if kind == 'default' else name_of(kind)} {duration(wait)}" for kind, wait in backoff.items()
    )


def _limits(policy: Policy) -> list[Rule]:
    rules: list[Rule] = []
    if policy.concurrency is not None:
        rules.append(("At once", f"{plural(policy.concurrency, 'task')}, over all workers"))
    if policy.concurrency_key is not None:
        rules.append(
            ("At once per key", f"{plural(policy.concurrency_per_key, 'task')} of the same {policy.concurrency_key}")
        )
    if policy.rate is not None:
        rules.append(("Rate", f"{policy.rate} starts, over all workers"))
    if policy.unique is not None:
        like = f"the same {', '.join(policy.unique_key)}" if policy.unique_key else "the same input"
        until = {"until_start": "while it has not started", "until_done": "while it is not final"}
        how_long = until[policy.unique] if isinstance(policy.unique, str) else f"for {duration(policy.unique)}"
        rules.append(("Unique", f"a submit with {like} gives the earlier task back {how_long}"))
    return rules or [("Limits", "none")]


def _crashes(policy: Policy, settings: Settings) -> list[Rule]:
    crashes, losses = policy.crash_limit or settings.crash_limit, policy.loss_limit or settings.loss_limit
    return [
        (
            "Quarantined",
            f"after its process died {plural(crashes, 'time')} in a row, or its worker {plural(losses, 'time')}",
        )
    ]


def _history(policy: Policy) -> str:
    if policy.keep is None:
        return "kept as the settings say"
    if isinstance(policy.keep, Mapping):
        return "kept " + ", ".join(f"{duration(time)} after {state}" for state, time in policy.keep.items())
    return f"kept {duration(policy.keep)}"
