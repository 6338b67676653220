"""The commands that look after a yard: check, why, doctor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import redis

from backyard.embedded.ports import free_port
from backyard.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.conftest import Project

QUEUE = "{shop}:queue:default:normal"


@pytest.fixture
def server(project: Project) -> Iterator[Any]:
    """The project's own server, with a client."""
    with EmbeddedServer(project.folder / ".backyard") as server:
        client = redis.Redis.from_url(server.url, decode_responses=True)
        yield client
        client.close()


@pytest.fixture
def task_id(project: Project, server: Any) -> str:
    """A task that waits, submitted from a program of the user's."""
    project.write("send.py", "import shop; print(shop.add.submit_sync(a=1).task_id)")
    answer = project.run_python("send.py")
    assert server.ping()
    return answer.stdout.strip()


def test_a_sound_yard_has_exit_code_0(project: Project, task_id: str) -> None:
    answer = project.run("check", "shop:yard")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "1 tasks" in answer.stdout
    assert answer.stdout.endswith("Everything fits.\n")
    assert task_id


def test_damage_is_told_then_repaired_then_gone(project: Project, server: Any, task_id: str) -> None:
    server.delete(QUEUE)
    dry = project.run("check", "shop:yard", "--dry-run")
    assert (dry.returncode, server.exists(QUEUE)) == (1, 0)
    assert dry.stdout.endswith("1 found. Run it without --dry-run to repair them.\n")
    told = json.loads(project.run("check", "shop:yard", "--json").stdout)
    assert told["clean"] is False
    assert told["found"] == {
        "unqueued": {
            "found": 1, "repaired": 1, "examples": [task_id],
            "meaning": "tasks that waited without a queue entry: queued again",
        }
    }  # fmt: skip
    assert server.xlen(QUEUE) == 1
    assert project.run("check", "shop:yard").returncode == 0


def test_repairs_are_told_in_words(project: Project, server: Any, task_id: str) -> None:
    server.delete(QUEUE)
    server.zadd("{shop}:due", {"nobody": 1})
    answer = project.run("check", "shop:yard")
    assert answer.returncode == 1
    assert "unqueued            1 repaired: tasks that waited without a queue entry: queued again" in answer.stdout
    assert f"({task_id})" in answer.stdout
    assert answer.stdout.endswith("2 repaired, 0 left.\n")


def test_pause_and_resume(project: Project, server: Any) -> None:
    assert server.ping()
    answer = project.run("pause", "queue", "default", "shop:yard", "--reason", "mending")
    assert answer.stdout.startswith("The queue default is paused."), answer.stderr
    assert json.loads(server.hget("{shop}:paused", "queue:default"))["reason"] == "mending"
    assert "was already paused" in project.run("pause", "queue", "default", "shop:yard").stdout
    assert project.run("resume", "queue", "default", "shop:yard").stdout == "The queue default is resumed.\n"
    assert project.run("resume", "queue", "default", "shop:yard").stdout == "The queue default was not paused.\n"
    assert project.run("pause", "definition", "add", "shop:yard").returncode == 0
    assert server.hkeys("{shop}:paused") == ["definition:add"]
    assert project.run("resume", "definition", "add", "shop:yard").stdout == "The definition add is resumed.\n"
    unknown = project.run("pause", "definition", "ad", "shop:yard")
    assert (unknown.returncode, "Did you mean 'add'?" in unknown.stderr) == (1, True)


def test_why(project: Project, task_id: str) -> None:
    answer = project.run("why", task_id, "shop:yard")
    assert answer.stdout == "PENDING: No worker lives. Start one with `backyard worker --queues default`.\n"
    assert json.loads(project.run("why", task_id, "shop:yard", "--json").stdout)["reason"] == "no_worker"
    unknown = project.run("why", "nobody", "shop:yard")
    assert (unknown.returncode, unknown.stderr) == (
        1, "Error: No task has the id 'nobody', or its record's lifetime has ended.\n",
    )  # fmt: skip


def test_a_doctor_with_no_server(project: Project) -> None:
    project.environment["BACKYARD_REDIS_URL"] = f"redis://:secret@127.0.0.1:{free_port()}/0"
    answer = project.run("doctor", "shop:yard")
    assert answer.returncode == 2
    assert answer.stdout.startswith("ERROR  redis ")
    assert "secret" not in answer.stdout
    assert "writes" not in answer.stdout


def test_a_doctor_of_a_sound_yard_misses_a_worker_and_nothing_else(project: Project, server: Any) -> None:
    answer = project.run("doctor", "shop:yard", "--json")
    told = json.loads(answer.stdout)
    assert (answer.returncode, told["worst"]) == (1, "warning")
    found = [row["check"] for row in told["checks"] if row["severity"] != "ok"]
    assert [name for name in found if name != "redis"] == ["workers", "history"]  # it is slow on a busy machine
    assert server.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_doctor_finds_what_is_badly_set(project: Project, server: Any) -> None:
    server.config_set("appendonly", "no")
    server.config_set("maxmemory", "500mb")
    server.config_set("maxmemory-policy", "allkeys-lru")
    server.xadd("{shop}:dead", {"reason": "test"})
    server.zadd("{shop}:due", {"late": 1})
    project.environment["BACKYARD_CONCURENCY"] = "4"
    answer = project.run("doctor", "shop:yard")
    assert answer.returncode == 2
    lines = answer.stdout.splitlines()
    signs = {line.split()[1]: line.split()[0] for line in lines if line and not line.startswith(" ")}
    bad = {name: sign for name, sign in signs.items() if sign in ("WARN", "ERROR")}
    slow = bad.pop("redis", None)  # on a busy machine
    assert bad == {
        "eviction": "ERROR", "durability": "ERROR", "settings": "WARN", "workers": "WARN", "backlog": "ERROR",
        "history": "WARN", "dead": "WARN",
    }  # fmt: skip
    assert "BACKYARD_CONCURENCY: did you mean BACKYARD_CONCURRENCY?" in answer.stdout
    assert "`redis-cli config set maxmemory-policy noeviction`" in answer.stdout
    assert lines[-1] == ("3 errors, 5 warnings, 12 fine." if slow else "3 errors, 4 warnings, 13 fine.")
