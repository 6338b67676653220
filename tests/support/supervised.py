"""A supervisor in a process of its own, with small real programs as parts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUPERVISOR = """
import json, sys
from pathlib import Path
from backyard.embedded import parts, supervisor
from backyard.embedded.server import EmbeddedServer

spec = json.loads(sys.argv[1])
parts._SHORTEST_PAUSE = 0.01
supervisor._STOPPED_WITHIN = spec["stopped_within"]
sys.exit(
    supervisor.Supervisor(
        [parts.Part(**part) for part in spec["parts"]],
        server=EmbeddedServer(spec["data_dir"]) if spec["data_dir"] else None,
        reload_dir=Path(spec["reload_dir"]) if spec["reload_dir"] else None,
    ).run()
)
"""

# A part: notes what happens to it in the journal, one line each: verb, role, process id.
PART = """
import os, signal, subprocess, sys, time
from pathlib import Path
from backyard.embedded import ready

role, journal, *traits = sys.argv[1:]

def note(verb, pid=None):
    with open(journal, "a") as file:
        file.write(f"{verb} {role} {pid or os.getpid()}\\n")

def on_stop(*_):
    note("stop")
    sys.exit(0)

signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in traits else on_stop)
if "pool" in traits:  # a child in the same group, as a pool process is
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", deaf])
    note("pool", child.pid)
note("start")
print("REDIS", os.environ.get("BACKYARD_REDIS_URL"), flush=True)
starts = Path(journal).read_text().count(f"start {role} ")
if "broken" in traits or ("fragile" in traits and starts == 1):
    print(f"try {starts} went wrong", file=sys.stderr)
    sys.exit(7)
if "refusing" in traits:
    ready.refuse("no yard there")
    sys.exit(1)
if "loud" in traits:
    for number in range(100_000):
        print(f"line {number}")
note("ready")
ready.notify()
if "short" in traits and starts == 1:
    sys.exit(5)
while True:
    time.sleep(600)
"""


@dataclass
class Stack:
    """A running supervisor and what its parts wrote."""

    folder: Path
    until: Callable[..., Any]
    process: subprocess.Popen[str] = field(init=False)
    output: list[str] = field(default_factory=list)

    def part(self, role: str, *traits: str, **options: Any) -> dict[str, Any]:
        program = self.folder / "part.py"
        program.write_text(PART)
        command = [sys.executable, str(program), role, str(self.journal), *traits]
        return {"role": role, "command": command, "grace": 60.0, **options}

    def start(self, *parts: dict[str, Any], **options: Any) -> None:
        self.journal.touch()
        spec = {"parts": parts, "data_dir": "", "reload_dir": "", "stopped_within": 3600.0, **options}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, json.dumps(spec)], stdout=subprocess.PIPE, text=True
        )

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def notes(self, verb: str, role: str | None = None) -> list[int]:
        """Give the process ids that noted a verb."""
        rows = [line.split() for line in self.journal.read_text().splitlines()]
        return [int(row[2]) for row in rows if row[0] == verb and role in {None, row[1]}]

    def read_until(self, text: str) -> str:
        """Read the output up to a line with a text in it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if text in line:
                return line
        raise AssertionError(f"never said {text!r}:\n{''.join(self.output)}")

    def end(self) -> int:
        """Read the rest, and give the exit code."""
        assert self.process.stdout is not None
        self.output.extend(self.process.stdout)
        return self.process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.end()
