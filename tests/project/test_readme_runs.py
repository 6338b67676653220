"""README and docs/console.md are followed to the letter: their Python runs, their curl commands go to a real stack."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from project.tree import ROOT
from support.processes import Process

README = (ROOT / "README.md").read_text()
CONSOLE = (ROOT / "docs/console.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@contextmanager
def stack(folder: Path, *arguments: str) -> Iterator[str]:
    """Run `backyard up` with modules from a folder, and give the address of the API."""
    command = [sys.executable, "-m", "backyard", "up", *arguments, "--port", "0", "--no-flower", "--concurrency", "2"]
    process = Process(command, environment(folder))
    try:
        process.wait_for_line("Ctrl-C stops it.")
        address = re.search(r"API +(http://\S+)", process.output)
        assert address is not None
        yield address[1]
    finally:
        process.stop()


def environment(folder: Path) -> dict[str, str]:
    data = str(folder / "data")
    return {
        "PYTHONPATH": str(folder), "BACKYARD_DATA_DIR": data, "BACKYARD_REDIS_URL": "", "REDIS_URL": "",
        "BACKYARD_BACKGROUND_NICE": "0",  # a keeper that stands back is starved by other tests
    }  # fmt: skip


def run(folder: Path, program: str) -> str:
    """Run a program beside the example, as another process of the same yard."""
    path = folder / "program.py"
    path.write_text(program)
    done = subprocess.run(
        [sys.executable, str(path)], env=environment(folder), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_and_what_the_readme_does_with_it(tmp_path: Path) -> None:
    example, submit, submit_sync, celery = blocks("python")
    code = [line for line in example.splitlines() if line and not line.startswith("#")]
    assert len(code) == 10, "it is called a ten-line example"
    (tmp_path / "shop.py").write_text(example)
    with stack(tmp_path, "shop:app") as url, httpx2.Client(base_url=url, timeout=60) as client:
        task = client.post("/tasks/build_report", json={"customer": 7}).json()
        task = client.get(f"/tasks/{task['task_id']}", params={"wait": 30}).json()
        assert (task["state"], task["progress"]) == ("SUCCESS", 100)
        assert client.get(task["result"]).text == "10 pages for customer 7"

        body = "\n    ".join(submit.splitlines())
        start = "import asyncio\nfrom shop import *\n"
        lines = run(tmp_path, f"{start}async def main() -> None:\n    {body}\nasyncio.run(main())\n").splitlines()
        assert lines[0] in {"PENDING", "STARTED", "PROGRESS", "SUCCESS"}
        assert client.get(lines[1]).text == "3 pages for customer 7"

        (share,) = blocks("python", CONSOLE)
        path, link = run(tmp_path, start + submit_sync + share).splitlines()
        assert client.get(path).text == "10 pages for customer 7"
        assert "result" in client.get(f"{link}/status").json()

        first, both = run(tmp_path, start + celery).splitlines()
        assert client.get(first).text == "10 pages for customer 7"
        assert [client.get(one).text[-1] for one in re.findall(r"/tasks/[^']+", both)] == ["8", "9"]


class Tour:
    """Sends what curl would send, with the ids that earlier answers gave."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client
        self.ids = {"TASK_ID": "", "FILE_ID": "", "WEBHOOK_ID": ""}
        self.downloads: dict[str, bytes] = {}
        self.answers: list[Any] = []

    def send(self, line: str) -> None:
        for name, value in self.ids.items():
            line = line.replace(name, value)
        words = iter(shlex.split(line))
        assert next(words) == "curl"
        method, target, rest, output = "", "", dict[str, Any](), ""
        for word in words:
            if word == "-X":
                method = next(words)
            elif word == "-H":
                name, _, value = next(words).partition(": ")
                rest["headers"] = {name: value}
            elif word == "-d":
                rest["content"] = next(words)
            elif word == "-F":
                name, _, path = next(words).partition("=@")
                rest["files"] = {name: (Path(path).name, (ROOT / path).read_bytes())}
                method = "POST"
            elif word == "-o":
                output = next(words)
            elif word != "-N":
                target = word.removeprefix("localhost:8000")
        answer = self.client.request(method or "GET", target, **rest)
        assert answer.is_success, f"{line}: {answer.status_code} {answer.text}"
        if output:
            self.downloads[output] = answer.content
        else:
            self.keep(answer)

    def keep(self, answer: httpx2.Response) -> None:
        is_json = answer.headers.get("content-type") == "application/json"
        body = answer.json() if is_json else answer.text
        self.answers.append(body)
        for name in self.ids:
            if isinstance(body, dict) and name.lower() in body:
                self.ids[name] = body[name.lower()]


def test_the_tour_with_curl(tmp_path: Path) -> None:
    lines = [line for text in (README, CONSOLE) for block in blocks("sh tour", text) for line in block.splitlines()]
    assert len(lines) > 10
    with stack(tmp_path) as url, httpx2.Client(base_url=url, timeout=90) as client:
        tour = Tour(client)
        for line in lines:
            tour.send(line)
        _, _, slept, _, events, _, _, report, listed, _, _, rerun, found, attempts, stats, *later = tour.answers
        assert (slept["state"], slept["progress"], report["state"]) == ("SUCCESS", 100, "SUCCESS")
        assert re.findall(r"^event: (\w+)$", events, re.MULTILINE).count("progress") >= 3
        assert '"state":"SUCCESS"' in events
        assert report["result"]["rows"] > 100
        assert tour.downloads["report.pdf"].startswith(b"%PDF-")
        assert tour.downloads["report.xlsx"].startswith(b"PK")
        assert len(listed) == 3
        assert rerun["input"] == {"duration": 1}
        assert rerun["rerun_of"]
        assert rerun["task_id"] in {one["task_id"] for one in found}
        assert len(attempts) <= 1
        assert stats["definitions"]["sleep_task"]["submitted"] >= 4

        link, _, webhook, _, depth, letters = later
        assert "sleep" in client.get(link["url"]).text.lower()
        assert (webhook["states"], webhook["enabled"]) == (["FAILURE"], False)
        assert depth["name"] == "default"
        assert letters == []
