"""``backyard up`` as its user meets it: a real stack, killed and stopped in every way."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from backyard.embedded.ports import free_port
from backyard.embedded.server import EmbeddedServer, running_server_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.conftest import Project, Up


def answers(call: Callable[[], Any]) -> Any:
    """Give what a call answers, or None while there is nobody to answer it."""
    try:
        return call()
    except (OSError, AssertionError):
        return None


def test_one_command_runs_everything_and_stops_it(up: Callable[..., Up], gone: Callable[[int], None]) -> None:
    flower_port = free_port()
    stack = up("--flower-port", str(flower_port), "--workers", "2")
    assert stack.result("add", a=2, b=3) == 5
    with urllib.request.urlopen(f"http://127.0.0.1:{flower_port}/broker", timeout=60) as page:
        assert b"reports" in page.read()
    assert f"  Flower    http://127.0.0.1:{flower_port}\n" in stack.read_until("Flower")
    with urllib.request.urlopen(f"{stack.api}/console/keys", timeout=60) as page:  # noqa: S310 - our own server
        assert f'href="http://127.0.0.1:{flower_port}/"'.encode() in page.read()
    processes = stack.processes()
    roles = [role for role in ("api", "--name worker1", "--name worker2", "flower", "valkey-server", "reaper.py")
             if any(role in args for args in processes.values())]  # fmt: skip
    assert roles == ["api", "--name worker1", "--name worker2", "flower", "valkey-server", "reaper.py"]
    own = os.getpriority(os.PRIO_PROCESS, 0)
    stand_back = {pid for pid in processes if os.getpriority(os.PRIO_PROCESS, pid) > own}
    watch = {pid for pid, args in processes.items() if "backyard keeper" in args or "backyard flower" in args}
    assert stand_back == watch != set()
    stack.process.send_signal(signal.SIGINT)
    assert stack.end() == 0
    for pid in processes:
        gone(pid)
    assert "Traceback" not in "".join(stack.lines)


def test_killed_itself_it_leaves_nothing_and_loses_nothing(up: Callable[..., Up], gone: Callable[[int], None]) -> None:
    stack = up("--no-flower", "--workers", "0")
    task = stack.call("/tasks/add", {"a": 1})
    processes = stack.processes()
    stack.process.kill()
    stack.process.wait()
    for pid in processes:
        gone(pid)
    second = up("--no-flower")
    assert second.call(f"/tasks/{task['task_id']}?wait=30")["result"] == 2


@pytest.mark.parametrize("words", ["backyard api", "backyard worker", "valkey-server"])
def test_a_killed_part_comes_back_and_no_task_is_lost(
    up: Callable[..., Up], until: Callable[..., Any], words: str
) -> None:
    stack = up("--no-flower")
    first = stack.call("/tasks/add", {"a": 1})
    killed = stack.pid_of(words)
    os.kill(killed, signal.SIGKILL)
    until(lambda: any(words in args and pid != killed for pid, args in stack.processes().items()), "its second life")
    done = until(lambda: answers(lambda: stack.call(f"/tasks/{first['task_id']}?wait=30")["result"]), "a result")
    assert done == 2
    assert until(lambda: answers(lambda: stack.result("add", a=3)), "an answer") == 4


def test_without_flower_workers_tell_it_nothing(up: Callable[..., Up]) -> None:
    stack = up("--no-flower")
    commands = stack.processes().values()
    assert not any("backyard flower" in args for args in commands)
    assert all("--no-events" in args for args in commands if "backyard worker" in args)
    assert stack.result("add", a=2) == 3


def test_an_app_with_the_yard_below_a_prefix(project: Project, up: Callable[..., Up]) -> None:
    project.write("web.py", "from shop import *\napp = FastAPI()\nyard.mount(app, prefix='/jobs')\n")
    stack = up("--no-flower", target="web:app")
    assert stack.call("/jobs/tasks/add", {"a": 1})["name"] == "add"


def test_a_set_server_is_used_and_not_stopped(project: Project, up: Callable[..., Up]) -> None:
    with EmbeddedServer(project.folder / "elsewhere") as server:
        project.environment["BACKYARD_REDIS_URL"] = server.url
        stack = up("--no-flower")
        assert stack.result("add", a=2) == 3
        assert not any("valkey-server" in args for args in stack.processes().values())
        stack.process.terminate()
        assert stack.end() == 0
        assert running_server_url(project.folder / "elsewhere") == server.url
    assert not (project.folder / ".backyard" / "server").exists()


def test_a_second_up_on_the_same_directory_is_refused(project: Project, up: Callable[..., Up]) -> None:
    first = up("--no-flower")
    second = up("--no-flower", wait=False)
    assert second.end() == 1
    assert f"in use by process {first.process.pid}" in "".join(second.lines)
    assert first.result("add", a=2) == 3
    assert running_server_url(project.folder / ".backyard") is not None


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("shop:yrd", "Error: The module shop has no attribute 'yrd'. Did you mean shop:yard?"),
        ("shpo:yard", "Did you mean shop:yard?"),
        ("broken:yard", "Error: Importing broken failed with ZeroDivisionError: division by zero"),
    ],
)
def test_a_wrong_target_is_said_once_and_ends_it(
    project: Project, up: Callable[..., Up], target: str, message: str
) -> None:
    project.write("broken.py", "1 / 0")
    stack = up("--no-flower", target=target, wait=False)
    assert stack.end() == 1
    assert len([line for line in stack.lines if line.startswith("backyard |") and message in line]) == 1
    assert "Traceback" not in "".join(stack.lines)
    assert "started again" not in "".join(stack.lines)


def test_a_broken_module_is_waited_for_with_reload(
    project: Project, up: Callable[..., Up], until: Callable[..., Any]
) -> None:
    shop = (project.folder / "shop.py").read_text()
    project.write("shop.py", "1 / 0")
    stack = up("--no-flower", "--reload", wait=False)
    stack.read_until("waiting for a change")
    stack.read_until("waiting for a change")
    project.write("shop.py", shop)
    stack.read_until("Backyard is ready.")
    assert stack.result("add", a=2) == 3
    project.write("shop.py", shop.replace("a + b", "a * b"))
    stack.read_until("shop.py changed: restarting")
    assert until(lambda: answers(lambda: stack.result("add", a=5, b=5)) == 25, "the new code")
