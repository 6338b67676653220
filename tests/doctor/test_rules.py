"""The doctor's rules: what a server, a yard and a host may say of themselves, and what is found in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backyard.core.definition import Definition, define
from backyard.core.worker import Worker, WorkerState
from backyard.doctor import CHECKS, Check, Severity, diagnose
from backyard.doctor.facts import Facts
from backyard.doctor.finding import Finding, fine
from backyard.ledger.keeper_calls import Recorded
from backyard.ledger.server_calls import Burden
from backyard.settings import Settings

GOOD = {
    "redis_version": "8.2.2", "aof_enabled": 1, "aof_last_write_status": "ok", "aof_last_bgrewrite_status": "ok",
    "rdb_last_bgsave_status": "ok", "loading": 0, "role": "master", "maxmemory": 1_000_000_000,
    "maxmemory_policy": "noeviction", "used_memory": 10_000_000, "maxclients": 10_000, "connected_clients": 12,
    "cluster_enabled": 0,
}  # fmt: skip
CONFIG = {"appendfsync": "always", "save": "", "stop-writes-on-bgsave-error": "yes"}
OK, WARNING, ERROR = Severity


def build(pages: int) -> int:
    """Build reports."""
    return pages


def definition(**options: Any) -> dict[str, Definition]:
    return {"build": define(build, None, None, queue="reports", **options)}


def worker(**options: Any) -> Worker:
    known: dict[str, Any] = {
        "worker_name": "w1@host", "state": WorkerState.RUNNING, "alive": True, "age": 0.5, "uptime": 60,
        "started": datetime(2027, 1, 1, tzinfo=UTC), "host": "host", "pid": 1, "pool": "prefork", "max_concurrency": 2,
        "queues": ["reports"], "registered_tasks": ["build"], "definitions": {"build": "x"}, "running": [], "rss": 1,
        "lease": 20,
        "version": "1.0",
    }  # fmt: skip
    return Worker(**{**known, **options})


def facts(**changes: Any) -> Facts:
    """Return the facts of a sound deployment, with changes; ``info`` and ``config`` are added to."""
    info, config = {**GOOD, **changes.pop("info", {})}, changes.pop("config", {})
    known: dict[str, Any] = {
        "settings": Settings(redis_url="redis://server"), "url": "redis://server", "version": "1.0",
        "definitions": definition(timeout=30), "latency": 0.001, "skew": 0.01, "workers": [worker()], "storage": "",
        "recorded": Recorded("1000-5", "k1@host", 1_000), "newest": "1500-0",
        "environment": {"BACKYARD_LEASE": "10", "PATH": "/bin"}, "disks": {"/data": (50_000_000_000, 100_000_000_000)},
    }  # fmt: skip
    return Facts(**{**known, "info": info, "config": None if config is None else {**CONFIG, **config}, **changes})


def burden(**changes: Any) -> Burden:
    return replace(Burden(now=1.0, dead=0, due=0, overdue=0, ready={}), **changes)


def found(name: str, given: Facts) -> Finding:
    """Return what one check says."""
    return next(one for check, one in diagnose(given) if check.name == name)


CASES: list[tuple[str, dict[str, Any], Severity, str]] = [
    ("redis", {"latency": 0.0004}, OK, "answers in 0.4 ms"),
    ("redis", {"latency": None}, OK, "answers"),
    ("redis", {"latency": 0.02}, WARNING, "answers in 20.0 ms"),
    ("redis", {"latency": 0.5}, ERROR, "answers in 500.0 ms"),
    ("redis", {"away": "Redis at x does not answer."}, ERROR, "Redis at x does not answer."),
    ("version", {}, OK, "Redis 8.2.2"),
    ("version", {"info": {"redis_version": "6.0.16"}}, ERROR, "Redis 6.0.16 is too old"),
    ("version", {"info": {"redis_version": "5.0"}}, ERROR, "Redis 5.0 is too old"),
    ("version", {"info": {"redis_version": "6.2.19"}}, WARNING, "Redis 6.2.19 has a hole in its Lua"),
    ("version", {"info": {"redis_version": "6.2.20"}}, OK, "Redis 6.2.20"),
    ("version", {"info": {"redis_version": "7.0.15"}}, WARNING, "Redis 7.0.15 has a hole"),
    ("version", {"info": {"redis_version": "8.4.0"}}, OK, "Redis 8.4.0"),
    ("version", {"info": {"redis_version": "7.2.4", "valkey_version": "8.1.3"}}, WARNING, "Valkey 8.1.3 has a hole"),
    ("version", {"info": {"redis_version": "7.2.4", "valkey_version": "9.1.2"}}, OK, "Valkey 9.1.2"),
    ("writes", {}, OK, "takes writes"),
    ("writes", {"info": {"loading": 1}}, ERROR, "the server is loading its data"),
    ("writes", {"info": {"role": "slave", "master_host": "other"}}, ERROR, "the server is a replica of other"),
    ("writes", {"info": {"aof_last_write_status": "err"}}, ERROR, "the server cannot write its append-only file"),
    ("writes", {"info": {"rdb_last_bgsave_status": "err"}, "config": {"save": "60 1"}}, ERROR, "last snapshot failed"),
    ("writes", {"info": {"rdb_last_bgsave_status": "err"}}, OK, "takes writes"),
    ("writes", {"info": {"rdb_last_bgsave_status": "err"}, "config": None}, ERROR, "last snapshot failed"),
    ("durability", {}, OK, "append-only file on, appendfsync always"),
    ("durability", {"config": None}, OK, "append-only file on"),
    ("durability", {"info": {"aof_enabled": 0}}, ERROR, "the append-only file is off"),
    ("durability", {"info": {"aof_last_bgrewrite_status": "err"}}, WARNING, "the last rewrite"),
    ("durability", {"config": {"appendfsync": "everysec"}}, WARNING, "may lose its last second"),
    ("durability", {"config": {"appendfsync": "no"}}, WARNING, "appendfsync is 'no'"),
    ("eviction", {}, OK, "noeviction"),
    ("eviction", {"info": {"maxmemory_policy": "allkeys-lru"}}, ERROR, "allkeys-lru: a full server"),
    ("eviction", {"info": {"maxmemory_policy": "volatile-ttl", "maxmemory": 0}}, WARNING, "with a memory limit"),
    ("eviction", {"info": {"maxmemory_policy": None}}, OK, "does not say"),
    ("memory", {}, OK, "10 MB used of 1,000 MB"),
    ("memory", {"info": {"used_memory": 750_000_000}}, WARNING, "750 MB used of 1,000 MB"),
    ("memory", {"info": {"used_memory": 990_000_000}}, ERROR, "submits are refused, or about to be"),
    ("memory", {"info": {"maxmemory": 0, "total_system_memory": 12_000_000}}, WARNING, "all the machine has"),
    ("memory", {"info": {"maxmemory": 0}}, OK, "10 MB used"),
    ("clock", {}, OK, "this host and the server agree"),
    ("clock", {"skew": None}, OK, "not measured"),
    ("clock", {"skew": 60.04}, WARNING, "this host's clock is 60.0 s ahead of the server's"),
    ("clock", {"skew": -2.0}, WARNING, "this host's clock is 2.0 s behind the server's"),
    ("connections", {}, OK, "12 of 10000 connections are open; 1 workers and an API may need 32"),
    ("connections", {"info": {"maxclients": 31}}, ERROR, "may need 32"),
    ("connections", {"info": {"connected_clients": 8_000}}, WARNING, "8000 of 10000"),
    ("connections", {"info": {"connected_clients": 9_999}}, ERROR, "9999 of 10000"),
    ("connections", {"info": {"maxclients": None}, "config": {"maxclients": "100"}}, OK, "12 of 100"),
    ("connections", {"info": {"maxclients": None}}, OK, "12 connections are open"),
    ("cluster", {}, OK, "a server of its own"),
    ("cluster", {"info": {"cluster_enabled": 1}}, WARNING, "a node of a cluster"),
    ("settings", {}, OK, "no unknown variable"),
    ("settings", {"environment": {"BACKYARD_LAESE": "1"}}, WARNING, "nothing reads BACKYARD_LAESE"),
    ("leases", {}, OK, "a lease lasts 10 s"),
    ("leases", {"settings": Settings(lease=5, redis_timeout=2)}, WARNING, "5 s and a command may take 2 s"),
    ("leases", {"definitions": definition(expires=9)}, WARNING, "build expire sooner than a lease runs out"),
    ("time limits", {}, OK, "fit the 30 s of a stop"),
    ("time limits", {"definitions": definition()}, OK, "no time limit on build"),
    ("time limits", {"definitions": definition(timeout=601)}, WARNING, "build may run for 601 s"),
    ("workers", {}, OK, "1 live and take from every queue"),
    ("workers", {"workers": [worker(alive=False)]}, WARNING, "no worker lives: tasks wait"),
    ("workers", {"workers": [worker(queues=["mail"])], "burden": burden(ready={"reports": 3})}, WARNING,
     "no living worker takes from reports, where 3 tasks wait"),
    ("workers", {"burden": burden(ready={"old": 7, "empty": 0})}, WARNING, "takes from old, where 7 tasks wait"),
    ("silence", {}, OK, "every worker speaks"),
    ("silence", {"workers": [worker(), worker(worker_name="w2@host", alive=False, age=21.4)]}, WARNING,
     "no word from w2@host (for 21 s): dead, stuck or cut off"),
    ("versions", {}, OK, "all run 1.0"),
    ("versions", {"workers": [worker(version="0.9")]}, WARNING, "others run on w1@host (0.9)"),
    ("versions", {"workers": [worker(registered_tasks=[])]}, WARNING, "no living worker knows build"),
    ("versions", {"workers": []}, OK, "all run 1.0"),
    ("backlog", {"burden": burden(due=4)}, OK, "4 scheduled, none late"),
    ("backlog", {"burden": burden(due=4, overdue=2)}, ERROR, "2 tasks were due more than five seconds ago"),
    ("history", {}, OK, "0.5 s behind"),
    ("history", {"newest": "1000-5"}, OK, "0.0 s behind"),
    ("history", {"recorded": None}, WARNING, "no keeper has recorded the history"),
    ("history", {"newest": "61000-0"}, WARNING, "the history is 60 s behind; k1@host recorded last"),
    ("dead letters", {}, OK, "none"),
    ("dead letters", {"burden": burden(dead=2)}, WARNING, "2 queue entries were set aside"),
    ("files", {}, OK, "can be written"),
    ("files", {"storage": None}, OK, "not tried"),
    ("files", {"storage": "No room."}, ERROR, "No room."),
    ("disks", {}, OK, "50 GB free for /data"),
    ("disks", {"disks": {"/data": (900_000_000, 100_000_000_000)}}, WARNING, "little room is left"),
    ("disks", {"disks": {"/data": (90_000_000, 100_000_000_000)}}, ERROR, "is full: 90 MB are left"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "severity", "text"), CASES)
def test_each_rule_finds_what_it_should(name: str, changes: dict[str, Any], severity: Severity, text: str) -> None:
    one = found(name, facts(**changes))
    assert text in one.text
    assert one.severity is severity
    assert bool(one.remedy) == (severity is not OK), "what is wrong has a remedy, and nothing else has"


def test_every_check_has_cases_for_good_and_for_bad() -> None:
    good = {name for name, _, severity, _ in CASES if severity is OK}
    bad = {name for name, _, severity, _ in CASES if severity is not OK}
    names = {check.name for check in CHECKS}
    assert (good, bad) == (names, names)


def test_a_sound_deployment_has_no_findings() -> None:
    assert [check.name for check, one in diagnose(facts()) if one.severity is not OK] == []


def test_with_the_server_away_only_what_needs_no_server_is_judged() -> None:
    looked = {check.name: check for check, _ in diagnose(facts(away="away"))}
    assert set(looked) == {"redis", "settings", "leases", "time limits", "files", "disks"}
    assert [check.name for check, _ in diagnose(facts(away="away"), quick=True)] == ["redis"]


def test_a_check_that_breaks_is_a_finding_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: Facts) -> Finding:
        raise ValueError("what a server")

    monkeypatch.setattr("backyard.doctor.examine.CHECKS", [Check("one", breaks), Check("two", lambda _: fine("good"))])
    (_, one), (_, two) = diagnose(facts())
    assert (one.severity, one.text) == (WARNING, "this check failed: ValueError: what a server")
    assert two.text == "good"


def test_an_unknown_variable_gets_a_hint_only_where_one_is_close() -> None:
    one = found(
        "settings", facts(environment={"BACKYARD_LAESE": "1", "BACKYARD_ZZZZZZ": "1", "BACKYARD_READY_FD": "3"})
    )
    assert one.text == "nothing reads BACKYARD_LAESE, BACKYARD_ZZZZZZ"
    assert one.remedy == (
        "BACKYARD_LAESE: did you mean BACKYARD_LEASE? Rename or unset BACKYARD_LAESE, BACKYARD_ZZZZZZ."
    )


def test_remedies_name_the_command() -> None:
    one = found("workers", facts(workers=[worker(queues=["mail"])]))
    assert one.remedy == "Start one: `backyard worker module:attribute --queues reports`."


def test_every_variable_that_the_code_reads_is_known() -> None:
    """A part that reads a variable of its own has to be known to the check, or users are told to unset it."""
    import re  # noqa: PLC0415

    import backyard  # noqa: PLC0415

    read = set()
    for path in Path(backyard.__file__).parent.rglob("*.py"):
        read |= set(
            re.findall(r"environ(?:\.get\(|\[|\.pop\(|\.setdefault\()\s*[\"'](BACKYARD_\w+)", path.read_text("utf-8"))
        )
    one = found("settings", facts(environment=dict.fromkeys(read, "1")))
    assert one.text == "no unknown variable"
