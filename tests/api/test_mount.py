"""``yard.mount(app)``: into somebody's own app, which stays theirs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from backyard import Backyard, Settings
from backyard.api import create_app
from backyard.core.errors import DefinitionError
from backyard.embedded.server import EmbeddedServer
from support.processes import Process, make_environment, running_api, start_worker
from support.web import connect, final, problem_in, watching


@pytest.fixture(scope="module")
def diary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("diary") / "diary"


@pytest.fixture(scope="module")
def mounted_environment(server_url: str, tmp_path_factory: pytest.TempPathFactory, diary: Path) -> dict[str, str]:
    return {**make_environment(server_url, tmp_path_factory.mktemp("mounted")), "TEST_DIARY": str(diary)}


@pytest.fixture(scope="module")
def mounted_worker(mounted_environment: dict[str, str]) -> Iterator[Process]:
    worker = start_worker(mounted_environment, target="support.mounted:yard.celery")
    yield worker
    worker.end()


@pytest.fixture(scope="module")
def shop(mounted_environment: dict[str, str], mounted_worker: Process) -> Iterator[httpx2.Client]:
    assert mounted_worker.child.poll() is None
    with running_api(mounted_environment, "support.mounted:app") as api, connect(api.url) as client:
        yield client


def test_their_routes_and_shapes_stay_theirs(shop: httpx2.Client) -> None:
    assert shop.get("/tasks").json() == ["sweep"]
    assert shop.get("/items/7").json() == {"mine": "7"}
    for path, status, said in (("/nowhere", 404, "Not Found"), ("/items/x", 400, "RequestValidationError")):
        assert (shop.get(path).status_code, shop.get(path).json()) == (status, {"mine": said})
    assert shop.put("/tasks").json() == {"mine": "Method Not Allowed"}
    assert shop.post("/submit", content=b"x" * 3_000).status_code == 413
    assert shop.get("/health").status_code == 404


def test_our_routes_keep_our_shape(shop: httpx2.Client) -> None:
    problem_in(shop.get("/jobs/tasks/nobody"), 404, "unknown_task")
    problem_in(shop.post("/jobs/tasks/save", json={}), 422, "invalid_input")
    problem_in(shop.get("/jobs/tasks?limit=0"), 422, "invalid_request")


def test_their_limit_on_bodies_does_not_undercut_ours(shop: httpx2.Client) -> None:
    answer = shop.post("/jobs/tasks/save", json={"text": "x" * 100_000})
    assert answer.status_code == 201
    assert final(shop, answer.json()["task_id"], "/jobs")["artifacts"][0]["size"] == 100_000
    assert shop.post("/jobs/files", files={"file": ("a.txt", b"x" * 100_000)}).status_code == 201
    problem_in(shop.post("/jobs/tasks/save", json={"text": "x" * 2_000_000}), 413, "too_large")


def test_their_dependencies_guard_our_routes(shop: httpx2.Client) -> None:
    answer = shop.get("/jobs/config", headers={"stranger": "rude"})
    assert (answer.status_code, answer.json()) == (418, {"mine": "NotWelcomeError"})
    answer = shop.post("/jobs/tasks/save", json={"text": "x"}, headers={"stranger": "yes"})
    assert problem_in(answer, 401, "unauthorized")["detail"] == "Say who you are."
    assert answer.headers["www-authenticate"] == "Basic"


def check_links(client: httpx2.Client, base: str, prefix: str) -> None:
    """Follow every link that the API gives; each begins with the base that the client sees."""
    answer = client.post(f"{prefix}/tasks/save", json={"text": "hello"}, headers={"Idempotency-Key": base})
    task_id = answer.json()["task_id"]
    assert answer.headers["location"] == f"{base}/tasks/{task_id}"
    task = final(client, task_id, prefix)
    path = f"/tasks/{task_id}/artifacts/note%201.txt"
    assert task["result"] == f"/jobs{path}"  # the worker knows the prefix, and nothing of a proxy
    assert task["artifacts"][0]["url"] == f"{base}{path}"
    again = client.post(f"{prefix}/tasks/save", json={"text": "hello"}, headers={"Idempotency-Key": base}).json()
    (listed,) = client.get(f"{prefix}/tasks/{task_id}/artifacts").json()
    first = client.get(f"{prefix}/tasks", params={"limit": 1})
    with watching(client, task_id, prefix=prefix) as events:
        (told,) = [one.data["data"]["url"] for one in events if one.event == "artifact"]
    assert {again["artifacts"][0]["url"], listed["url"], told} == {f"{base}{path}"}
    client.post(f"{prefix}/tasks/save", json={"text": "another"})
    assert first.links == {} or first.links["next"]["url"].startswith(f"{base}/tasks?limit=1&cursor=")
    second = client.get(f"{prefix}/tasks", params={"limit": 1})
    assert second.links["next"]["url"].startswith(f"{base}/tasks?limit=1&cursor=")
    assert [one["url"] for one in client.get(f"{prefix}/definitions").json()] == [f"{base}/tasks/save"]
    upload = client.post(f"{prefix}/files", files={"file": ("a.txt", b"x")})
    assert upload.headers["location"] == f"{base}/files/{upload.json()['file_id']}"


def test_links_carry_the_prefix(shop: httpx2.Client) -> None:
    check_links(shop, "/jobs", "/jobs")
    task_id = shop.post("/submit").json()
    assert shop.get(final(shop, task_id, "/jobs")["result"]).text == "from code"


@pytest.mark.usefixtures("mounted_worker")
def test_links_carry_what_a_proxy_takes_away(mounted_environment: dict[str, str]) -> None:
    environment = {**mounted_environment, "TEST_ROOT_PATH": "/shop"}
    with running_api(environment, "support.mounted:app") as api, connect(api.url) as client:
        check_links(client, "/shop/jobs", "/jobs")


def test_an_app_within_an_app_knows_where_it_is(new_yard: Backyard) -> None:
    @new_yard.task
    def save(text: str) -> str:
        return text

    outer, inner = FastAPI(), FastAPI()
    new_yard.mount(inner, prefix="/jobs")
    outer.mount("/inner", inner)
    with TestClient(outer) as client:
        answer = client.post("/inner/jobs/tasks/save", json={"text": "x"})
        assert answer.headers["location"] == f"/inner/jobs/tasks/{answer.json()['task_id']}"
        assert client.get(answer.headers["location"]).json()["input"] == {"text": "x"}
        listed = client.get("/inner/jobs/tasks?limit=1")
        assert listed.headers["link"].startswith("</inner/jobs/tasks?limit=1&cursor=")
    # The lifespans of inner apps are not run, so the connections were not closed.
    del client


def test_both_lifespans_run(mounted_environment: dict[str, str], tmp_path: Path) -> None:
    environment = {**mounted_environment, "TEST_DIARY": str(tmp_path / "diary")}
    with running_api(environment, "support.mounted:app") as api, connect(api.url) as client:
        assert (tmp_path / "diary").read_text() == "started\n"
        client.post("/jobs/tasks/save", json={"text": "x"})
        assert api.process.stop() in {0, -15}
        assert (tmp_path / "diary").read_text() == "started\nstopped\n"
        assert "Traceback" not in api.process.output


def test_the_end_of_the_app_closes_the_yards_connections(tmp_path: Path) -> None:
    # A server that nobody else comes to or goes from.
    with EmbeddedServer(tmp_path / "server", appendfsync="no") as server:
        yard = Backyard("alone", settings=Settings(redis_url=server.url, data_dir=tmp_path))

        @yard.task
        def add(a: int) -> int:
            return a

        redis: Any = yard.ledger.client
        app = FastAPI()
        yard.mount(app)
        with TestClient(app) as client:
            before = len(redis.client_list())
            assert client.post("/tasks/add", json={"a": 1}).status_code == 201
            assert len(redis.client_list()) > before
        assert len(redis.client_list()) <= before
        redis.close()


def test_what_is_there_at_the_start_is_kept_from_the_collector_once(new_yard: Backyard) -> None:
    """Going through it again and again holds the event loop up; a second freeze would keep the first app for good."""
    counts = []
    for _ in range(2):
        app = FastAPI()
        Backyard(new_yard.name, settings=new_yard.settings).mount(app)
        with TestClient(app):
            counts.append(gc.get_freeze_count())
    assert counts[0] > 10_000
    assert counts[1] <= counts[0]


def test_a_second_yard_is_refused_with_a_sentence(new_yard: Backyard) -> None:
    app = FastAPI()
    new_yard.mount(app, prefix="/jobs")
    for yard in (Backyard("other", settings=new_yard.settings), new_yard):
        with pytest.raises(DefinitionError, match=r"has a yard already\. Mount a second one into an app of its own"):
            yard.mount(app, prefix="/other")
    with pytest.raises(DefinitionError, match="has a yard already"):
        new_yard.mount(create_app(Backyard("third", settings=new_yard.settings)))


@pytest.mark.parametrize("prefix", ["jobs", "/jobs/", "/"])
def test_a_prefix_that_cannot_work_is_refused(new_yard: Backyard, prefix: str) -> None:
    app = FastAPI()
    with pytest.raises(DefinitionError, match="begin it with '/', and end it without one"):
        new_yard.mount(app, prefix=prefix)
    new_yard.mount(app)
