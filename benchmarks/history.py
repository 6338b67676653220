"""How fast does the history answer at a million tasks, and how fast does it take news in?

Makes a month of a million tasks in SQLite (see ``history_rows.py``; a file that is named and there is used as it is),
asks it what lists, searches and charts ask, with other arguments each time, and prints median and 99th percentile: of
the time that passed, and of the time that was computed, where other programs may have had the core for the rest. The
bounds are 20 ms for pages and 50 ms for counts and charts, at the 99th percentile of the latter. Then it records:
the recorder alone, and a keeper beside a busy worker (see ``history_live.py``). The bounds are 5,000 events a second,
and 200 ms behind at 500 events a second.

    python -m benchmarks.history [--file FILE] [--tasks 1000000] [--calls 300] [--only WORD] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import history_live
from benchmarks.history_rows import (
    CAUSES,
    COMMON,
    DEFINITIONS,
    END,
    MONTH,
    RARE,
    TAGS,
    WORKERS,
    Month,
    fill,
    in_parts,
    vocabulary,
)

from backyard.core.task_filter import TaskFilter
from backyard.history.database import History
from backyard.history.queries import counts_of, page_of, task_of
from backyard.history.recorder import Recorder
from backyard.history.statistics import definitions_of, errors_of, series_of
from backyard.history.tables import event_number, event_time

HERE = Path(__file__).parent
#: Milliseconds at the 99th percentile; events a second; milliseconds behind.
PAGES: Final = 20.0
CHARTS: Final = 50.0
RATE: Final = 5_000
BEHIND: Final = 200.0
LIMIT: Final = 50
HOUR: Final = 3_600_000
STATES: Final = ["SUCCESS", "SUCCESS", "FAILURE", "REVOKED", "PENDING", "STARTED", "RETRY"]
QUEUES: Final = sorted({queue for _, queue in DEFINITIONS.values()})

Ask = Callable[[], object]


class Questions:
    """What is asked, with other arguments each time.

    Args:
        history: The history that is asked.
        tasks: How many tasks it has.
    """

    def __init__(self, history: History, tasks: int) -> None:
        self._history = history
        self._tasks = tasks
        self._draw = random.Random(3)
        self._names = list(DEFINITIONS)
        self._words = vocabulary()

    def pages(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """Return kinds of filters; each call draws another one."""
        draw = self._draw
        return {
            "list, first page": dict,
            "list, deep page": lambda: {"after": draw.randrange(self._tasks)},
            "list, page before": lambda: {"before": draw.randrange(self._tasks)},
            "state": lambda: {"state": draw.choice(STATES), **self._place()},
            "name": lambda: {"name": draw.choice(self._names), **self._place()},
            "name + state": lambda: {"name": draw.choice(self._names), "state": draw.choice(STATES), **self._place()},
            "three names + two states": lambda: {
                "name": draw.sample(self._names, 3), "state": ["FAILURE", draw.choice(STATES)], **self._place(),
            },
            "queue + state": lambda: {"queue": draw.choice(QUEUES), "state": draw.choice(STATES), **self._place()},
            "queue + worker": lambda: {"queue": draw.choice(QUEUES), "worker": draw.choice(WORKERS), **self._place()},
            "worker + state": lambda: {"worker": draw.choice(WORKERS), "state": draw.choice(STATES), **self._place()},
            "tag": lambda: {"tag": draw.choice(TAGS), **self._place()},
            "two tags + state": lambda: {"tag": [TAGS[0], draw.choice(TAGS[5:])], "state": draw.choice(STATES)},
            "since + until": self._hours,
            "since + until + state": lambda: {**self._hours(), "state": draw.choice(STATES)},
            "fingerprint": lambda: {"fingerprint": self._cause(), **self._place()},
            "fingerprint + name + worker": lambda: {
                "fingerprint": self._cause(), "name": draw.choice(self._names), "worker": draw.choice(WORKERS),
            },
            "no match: name + other queue": lambda: {"name": "send_mail", "queue": draw.choice(["slow", "images"])},
            "no match: worker of nobody + state": lambda: {"worker": f"x{draw.random()}", "state": "SUCCESS"},
            "no match: queue + name + tag + state": lambda: {
                "queue": "payments", "name": draw.choice(self._names[:4]), "tag": draw.choice(TAGS), "state": "SUCCESS",
            },
            "text, rare word": lambda: {"text": draw.choice([RARE, *self._words[-500:]])},
            "text, common word": lambda: {"text": self._common(), **self._place()},
            "text, beginning of a word": lambda: {"text": draw.choice(self._words)[: draw.choice((2, 3, 4))]},
            "text, phrase": lambda: {"text": f'"{draw.choice(self._words[:50])} {draw.choice(self._words[:50])}"'},
            "text, two common words": lambda: {"text": f"{COMMON} {draw.choice(self._words[:50])}", **self._place()},
            "text, common + state": lambda: {"text": COMMON, "state": draw.choice(STATES), **self._place()},
            "text, common + name + state": lambda: {
                "text": draw.choice(self._words[:50]), "name": draw.choice(self._names), "state": draw.choice(STATES),
            },
            "text, no match": lambda: {"text": f"{COMMON} qqq{draw.randrange(999)}"},
        }  # fmt: skip

    def asked(self) -> Iterator[tuple[str, float, Ask]]:
        """Give each question: its name, its bound in milliseconds, and what asks it once, with arguments drawn anew."""
        for name, draw in self.pages().items():
            yield name, PAGES, lambda draw=draw: self._page(draw())  # type: ignore[misc]  # bound here and now
        numbered = random.Random(5)
        known = [one.task_id for one in page_of(self._history, TaskFilter(), 500).tasks]
        yield "one task", PAGES, lambda: task_of(self._history, numbered.choice(known))
        yield "counts by state", CHARTS, lambda: counts_of(self._history, TaskFilter())
        yield (
            "counts by state, of a name",
            CHARTS,
            lambda: counts_of(self._history, TaskFilter(name=self._draw.choice(self._names))),
        )
        for words, hours in (("1 hour", 1), ("24 hours", 24), ("30 days", 720)):
            yield f"series, {words}", CHARTS, lambda hours=hours: series_of(self._history, *self._range(hours))  # type: ignore[misc]
            yield (
                f"definitions, {words}",
                CHARTS,
                lambda hours=hours: definitions_of(  # type: ignore[misc]
                    self._history, *self._range(hours)
                ),
            )
        yield "error groups", CHARTS, lambda: errors_of(self._history)
        yield "error groups, of a name", CHARTS, lambda: errors_of(self._history, name=self._draw.choice(self._names))
        yield "counts of a filter", CHARTS, lambda: counts_of(self._history, TaskFilter(tag=self._draw.choice(TAGS)))

    def _page(self, wanted: dict[str, Any]) -> object:
        places = {name: wanted.pop(name) for name in ("after", "before") if name in wanted}
        return page_of(self._history, TaskFilter(**wanted), LIMIT, **places)

    def _place(self) -> dict[str, int]:
        return {"after": self._draw.randrange(self._tasks)} if self._draw.random() < 0.5 else {}

    def _cause(self) -> str:
        return f"cause{self._draw.randrange(CAUSES):04}"

    def _common(self) -> str:
        return str(self._draw.choice([COMMON, "customer", *self._words[:20]]))

    def _hours(self) -> dict[str, Any]:
        begin = END - self._draw.randrange(MONTH)
        end = begin + HOUR * self._draw.choice((1, 24))
        return {"since": datetime.fromtimestamp(begin / 1000, UTC), "until": datetime.fromtimestamp(end / 1000, UTC)}

    def _range(self, hours: int) -> tuple[int, int]:
        until = END - self._draw.randrange(max(1, MONTH - hours * HOUR))
        return until - hours * HOUR, until


def percentile(values: list[float], share: float) -> float:
    """Return a percentile."""
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 2)


def measured(ask: Ask, calls: int) -> dict[str, float]:
    """Ask again and again, and return the milliseconds that it took."""
    times: list[float] = []
    own: list[float] = []
    for _ in range(calls):
        began, used = time.perf_counter(), time.thread_time()
        ask()
        times.append((time.perf_counter() - began) * 1_000)
        own.append((time.thread_time() - used) * 1_000)
    # What this thread computed: on a shared machine others may have had the core for the rest.
    own_ms = {"own_p50_ms": percentile(own, 0.5), "own_p99_ms": percentile(own, 0.99)}
    return {"p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99), **own_ms}


def recorded_alone(history: History, tasks: int = 20_000, together: int = 1_000) -> dict[str, float]:
    """Record a busy quarter of a minute, at a keeper's batch size; returns the rate."""
    recorder = Recorder(history, lambda _: {})
    begin = event_time(event_number(recorder.position() or "0-0")) + 1
    # Once around unmeasured: what is in memory then is there in the long run, too.
    parts = list(in_parts(Month(tasks, begin, begin + 15_000, 15_000).news(), together))
    warm = parts[: len(parts) // 5]
    for part in warm:
        recorder.record(part)
    began = time.perf_counter()
    for part in parts[len(warm) :]:
        recorder.record(part)
    seconds = time.perf_counter() - began
    told = sum(map(len, parts[len(warm) :]))
    return {"events": told, "events_per_second": round(told / seconds), "together": together}


@contextmanager
def opened(file: Path | None, tasks: int) -> Iterator[tuple[History, dict[str, float]]]:
    """Give a history of so many tasks, and how long it took to make, if it was not there."""
    with tempfile.TemporaryDirectory() as folder:
        path = (file or Path(folder) / "month.sqlite3").absolute()
        history = History(f"sqlite:///{path}", "bench")
        made: dict[str, float] = {}
        if not path.exists():
            began = time.monotonic()
            events = fill(history, Month(tasks))
            made = {"events": events, "seconds": round(time.monotonic() - began, 1)}
        made["megabytes"] = round(path.stat().st_size / 1e6)
        yield history, made
        history.close()


def main() -> None:
    """Measure, print, and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--file", type=Path, help="where the million tasks are, or are to be; else they are made anew")
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=300, help="of each question")
    parser.add_argument("--only", help="ask questions whose name contains this, and record nothing")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "history.json", help="where figures go")
    chosen = parser.parse_args()
    figures: dict[str, Any] = {"tasks": chosen.tasks, "calls": chosen.calls, "questions": {}}
    missed: list[str] = []
    with opened(chosen.file, chosen.tasks) as (history, made):
        figures["made"] = made
        print(f"{chosen.tasks:,} tasks: {made}. Load of the machine: {os.getloadavg()[0]:.1f}")
        print(f"{'':40}{'p50 ms':>10}{'p99 ms':>10}{'own p50':>10}{'own p99':>10}{'bound':>8}")
        for name, bound, ask in Questions(history, chosen.tasks).asked():
            if chosen.only and chosen.only not in name:
                continue
            row = measured(ask, chosen.calls)
            figures["questions"][name] = {**row, "bound_ms": bound}
            print(
                f"{name:40}{row['p50_ms']:10}{row['p99_ms']:10}{row['own_p50_ms']:10}{row['own_p99_ms']:10}{bound:8.0f}",
                flush=True,
            )
            missed += [name] if row["own_p99_ms"] > bound else []
        if not chosen.only:
            missed += record(history, figures)
    figures["load"] = round(os.getloadavg()[0], 1)
    if not chosen.only:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    print("All bounds hold." if not missed else f"Missed: {', '.join(missed)}.")
    sys.exit(bool(missed))


def record(history: History, figures: dict[str, Any]) -> list[str]:
    """Measure recording, and return which bounds were missed."""
    missed = []
    rounds = [recorded_alone(history) for _ in range(3)]
    figures["recorder_alone"] = rounds
    middle = percentile([one["events_per_second"] for one in rounds], 0.5)
    print(f"recorder alone: {[one['events_per_second'] for one in rounds]} events a second")
    missed += ["recorder alone"] if middle < RATE else []
    with tempfile.TemporaryDirectory() as folder, history_live.Stage(history, Path(folder)) as stage:
        figures["beside_a_busy_worker"] = busy = stage.catch_up()
        print(f"keeper beside a busy worker: {busy}")
        figures["behind"] = behind = stage.lag()
        print(f"keeper at a steady rate: {behind}")
    missed += ["beside a busy worker"] if busy["events_per_second"] < RATE else []
    return missed + (["behind"] if behind["p99_ms"] > BEHIND else [])


if __name__ == "__main__":
    main()
