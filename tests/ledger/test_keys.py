"""The legend of keys is complete, and the scripts run on the oldest server that is supported."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest

from backyard.core.schedule import ScheduleSpec, ScheduleState
from backyard.core.states import Verb
from backyard.embedded.server import EmbeddedServer
from backyard.ledger import keys as keys_module
from backyard.ledger.keys import LANES, PRIORITY, Keys, lane_of, split_queue_key
from backyard.ledger.limit_calls import Limit
from backyard.ledger.scripts import PARTS, script
from support.bench import LEASE, Bench, bench_of

SCRIPTS = sorted(
    one.name.removesuffix(".lua") for one in files("backyard.ledger.scripts").iterdir() if one.name.endswith(".lua")
)
OLDEST = (6, 2)
#: Options of commands that came after the oldest server, where a command itself is older.
TOO_NEW = {
    "EXPIRE": {"NX", "XX", "GT", "LT"}, "PEXPIRE": {"NX", "XX", "GT", "LT"}, "XADD": {"KEEPREF", "DELREF", "ACKED"},
    "XREADGROUP": {"CLAIM"}, "XGROUP": {"ENTRIESREAD"}, "SET": {"IFEQ", "IFNE"}, "XAUTOCLAIM": set(), "ZADD": set(),
}  # fmt: skip


def legend() -> dict[str, str]:
    """Return the rows of the legend: pattern of the key, and its type."""
    rows = re.findall(
        r"^``\{yard\}:(\S+?)``.*?  (hash|list|stream|set|zset|string|mixed) ", keys_module.__doc__ or "", re.MULTILINE
    )
    return {"^" + re.sub(r"<\w+>", ".+", pattern) + "$": kind for pattern, kind in rows}


def full_run(bench: Bench) -> None:
    """Go through everything the ledger does, so that it leaves every key it can leave."""
    run, calls = bench.run, bench.calls
    bench.submit("done", once="k e:y", fingerprint="f", once_lifetime=60, fields={"input": "{}"})
    bench.submit("later", due="+600000")
    (taken,) = bench.take()
    bench.start("done", taken.tag)
    run(calls.add_lines("done", 1, ["{}"]))
    bench.move(Verb.PROGRESS, "done", 1)
    bench.move(Verb.SUCCEED, "done", 1)
    bench.move(Verb.SUCCEED, "done", 2)
    for lane in ("high", "low"):
        bench.submit(lane, lane=lane)
    hand = bench.take(most=2)
    run(calls.give_back([hand[0].place], "rejected"))
    run(calls.set_aside(*hand[1].place, "unreadable"))
    run(calls.put("q", "high", b"plain"))
    run(calls.renew(LEASE, ["c"], ["old"]))
    run(calls.declare("another"))
    run(calls.check_turn(0))
    run(calls.link_key(b"random"))
    bench.submit("ready", queue="a:b.c", expires="+600000")
    bench.cancel("later")
    bench.submit("delayed", due="+600000")
    bench.running("parent", queue="p")
    bench.cancel("parent")
    bench.submit("part", fields={"canvas": "1"})
    bench.cancel("part")
    bench.submit("child", fields={"parent_id": "parent"})
    for task_id in ("runs", "parked", "waits"):
        bench.submit(task_id, queue="limited", unique=f"until_done f:{task_id}")
    limits = [[Limit("definition:f", 1)], [Limit("definition:f", 1)], [Limit("rate:f", 1, 60_000)]]
    bench.client.hset(f"{bench.keys.prefix}rates", "rate:f", 9e12)
    for one, under in zip(bench.take(most=3, queues=["limited"]), limits, strict=True):
        bench.start(one.message[2:], one.tag, limits=under)
    run(calls.pause("queue", "limited", "tests"))
    run(calls.lead("recorder", "keeper", 60))
    run(calls.set_recorded(run(calls.last_event()), "keeper", 1_000_000, caught_up=True))
    state = ScheduleState(created=datetime(2026, 1, 1, tzinfo=UTC), updated=datetime(2026, 1, 1, tzinfo=UTC))
    run(calls.save_schedule("daily", "", ScheduleSpec(name="f", cron="@daily"), state, None))
    run(calls.introduce("worker", "instance", 60, 0, {"state": "running"}))


def test_legend_names_every_key_and_its_type(bench: Bench) -> None:
    full_run(bench)
    rows = legend()
    assert len(rows) == (keys_module.__doc__ or "").count("\n``{yard}:"), (
        "a row of the legend is not written like the others"
    )
    used = set()
    for key in bench.client.scan_iter(f"{bench.keys.prefix}*", 1_000):
        name = key.removeprefix(bench.keys.prefix)
        found = [pattern for pattern in rows if re.match(pattern, name)]
        assert len(found) == 1, f"the legend has {len(found)} rows for {key}"
        assert bench.client.type(key) == rows[found[0]]
        used.add(found[0])
    kept_by_celery = {"^binding:.+$", "^group:.+$", "^meta:.+$"}
    assert set(rows) - used == kept_by_celery, "a row of the legend names a key that nothing makes"


def test_all_keys_carry_the_yards_tag(tmp_path: Path) -> None:
    # A server of its own: on the shared one the guardians of other tests' workers may still have something to write.
    with EmbeddedServer(tmp_path / "data", appendfsync="no") as server, bench_of(server.url) as bench:
        full_run(bench)
        made = set(bench.client.scan_iter("*", 1_000))
        tag = f"{{{bench.keys.yard}}}:"
    assert made
    assert [key for key in made if not key.startswith(tag)] == []


def test_only_what_the_legend_says_outlives_its_time(bench: Bench) -> None:
    full_run(bench)
    lasting = {
        key.removeprefix(bench.keys.prefix)
        for key in bench.client.scan_iter(f"{bench.keys.prefix}*", 1_000)
        if bench.client.ttl(key) == -1
    }
    assert {name for name in lasting if name.startswith(("task:", "once:", "log:"))} == {
        "task:high", "task:ready", "task:delayed", "task:parent", "task:child", "task:runs", "task:parked",
        "task:waits",
    }  # fmt: skip


def test_scripts_use_the_words_of_the_legend() -> None:
    names = {re.match(r"\w+", pattern[1:])[0] for pattern in legend()}  # type: ignore[index]  # each begins with a word
    for name in [*SCRIPTS, *(f"parts/{part}" for part in PARTS)]:
        used = set(
            re.findall(r"prefix \.\. '(\w+)", (files("backyard.ledger.scripts") / f"{name}.lua").read_text("utf-8"))
        )
        # ``nothing`` is a key that never is.
        assert used - {"nothing"} <= names, f"{name}.lua makes a key that the legend does not know"


def test_lua_and_python_name_the_same_lanes() -> None:
    text = script("take").text
    assert re.findall(r"'(\w+)'", re.search(r"local LANES = \{(.*)\}", text)[1]) == list(LANES)  # type: ignore[index]  # it is there
    assert f"local GROUP = '{keys_module.GROUP}'" in text


@pytest.mark.parametrize(("queue", "lane"), [("default", "low"), ("a:b", "again"), ("queue:x", "high")])
def test_lane_key_is_read_back(queue: str, lane: str) -> None:
    assert split_queue_key(Keys("y").queue(queue, lane)) == (queue, lane)


def test_lanes_of_celery_priorities() -> None:
    assert [lane_of(number) for number in range(10)] == ["high"] * 3 + ["normal"] * 3 + ["low"] * 4
    assert {lane: lane_of(number) for lane, number in PRIORITY.items()} == {lane: lane for lane in PRIORITY}
    assert lane_of(None) == "high"


# -- the oldest server ------------------------------------------------------------------------------------------------


def commands_of(name: str) -> list[list[str]]:
    """Return the commands of a script, each with the fixed words that are written into it."""
    text = re.sub(r"--.*", "", script(name).text)
    calls = re.findall(r"redis\.p?call\(((?:[^()]|\([^()]*\))*)\)", text)
    return [re.findall(r"'([A-Z]+)'", call) for call in calls]


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_needs_no_newer_server(bench: Bench, name: str) -> None:
    commands = commands_of(name)
    assert commands
    asked = {command for command, *_ in commands}
    answer = bench.client.execute_command("COMMAND DOCS", *asked)
    documents = dict(zip(answer[::2], answer[1::2], strict=True))
    assert {word.upper() for word in documents} == asked, "a command that the server does not know"
    for word, facts in documents.items():
        since = tuple(int(part) for part in facts[facts.index("since") + 1].split(".")[:2])
        assert since <= OLDEST, f"{word} came with {since}"
    for command, *words in commands:
        assert not set(words) & TOO_NEW.get(command, set()), f"{command} {words} is newer than {OLDEST}"


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_stays_in_the_language_of_old_servers(name: str) -> None:
    text = script(name).text
    assert not text.startswith("#!"), "flags of scripts came with Redis 7"
    assert "redis.setresp" not in text
    assert "server.call" not in text, "Valkey's own name"
    assert not re.search(r"\bos\.|\bio\.|\brequire\b|\bgoto\b|//", re.sub(r"--.*", "", text))
