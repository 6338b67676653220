"""Downloads and lists: headers, ranges and conditions."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from backyard.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from backyard.files import StoredFile

LIMIT = 100_000
TASK = "01890000-0000-7000-8000-000000000000"
DATA = bytes(range(256)) * 40


@pytest.fixture
def artifact(files: Files) -> str:
    files.save_artifact(TASK, "report.pdf", DATA)
    return f"/yard/tasks/{TASK}/artifacts/report.pdf"


def test_a_download(client: TestClient, artifact: str) -> None:
    answer = client.get(artifact)
    assert answer.status_code == 200
    assert answer.content == DATA
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == 'inline; filename="report.pdf"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["last-modified"].endswith("GMT")


def test_head_says_the_same_without_the_bytes(client: TestClient, artifact: str) -> None:
    whole, head = client.get(artifact), client.head(artifact)
    assert head.content == b""
    assert (head.status_code, dict(head.headers)) == (200, dict(whole.headers))
    part = client.head(artifact, headers={"range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-length"]) == (206, "10")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "inline"),
        ("a.csv", "inline"),
        ("a.txt", "inline"),
        ("a.html", "attachment"),
        ("a.svg", "attachment"),
        ("a.xml", "attachment"),
        ("a.js", "attachment"),
        ("a.xlsx", "attachment"),
        ("a", "attachment"),
    ],
)
def test_only_what_is_harmless_is_shown(client: TestClient, files: Files, name: str, kind: str) -> None:
    files.save_artifact(TASK, name, b"<script>alert(1)</script>")
    headers = client.get(f"/yard/tasks/{TASK}/artifacts/{name}").headers
    assert headers["content-disposition"] == f'{kind}; filename="{name}"'
    assert headers["x-content-type-options"] == "nosniff"


def test_a_charset_does_not_make_html_harmless(client: TestClient, files: Files) -> None:
    files.save_artifact(TASK, "a", b"<script>", "text/html; charset=utf-8")
    assert client.get(f"/yard/tasks/{TASK}/artifacts/a").headers["content-disposition"].startswith("attachment")


def test_a_name_in_another_script_is_encoded(client: TestClient, files: Files) -> None:
    name = "Übersicht 表.csv"
    files.save_artifact(TASK, name, DATA)
    answer = client.get(f"/yard/tasks/{TASK}/artifacts/{quote(name)}")
    assert answer.content == DATA
    assert answer.headers["content-disposition"] == f"inline; filename*=UTF-8''{quote(name)}"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=10-", 10, len(DATA)),
        ("bytes=-7", len(DATA) - 7, len(DATA)),
        ("bytes=-99999999", 0, len(DATA)),
        (f"bytes={len(DATA) - 1}-{len(DATA) + 5}", len(DATA) - 1, len(DATA)),
    ],
)
def test_one_range(client: TestClient, artifact: str, asked: str, start: int, end: int) -> None:
    answer = client.get(artifact, headers={"range": asked})
    assert answer.status_code == 206
    assert answer.content == DATA[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,3-4", "bytes=5-4", "bytes=-", "bytes=x-y", "lines=0-1", "bytes", "bytes=²-"]
)
def test_what_is_not_one_range_gives_the_whole(client: TestClient, artifact: str, asked: str) -> None:
    answer = client.get(artifact, headers=[(b"range", asked.encode("latin-1"))])
    assert (answer.status_code, answer.content) == (200, DATA)


@pytest.mark.parametrize("asked", [f"bytes={len(DATA)}-", "bytes=999999-9999999", "bytes=-0"])
def test_a_range_outside_the_file(client: TestClient, artifact: str, asked: str) -> None:
    answer = client.get(artifact, headers={"range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(DATA)}"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "range_not_satisfiable"


def test_any_range_is_outside_an_empty_file(client: TestClient, files: Files) -> None:
    files.save_artifact(TASK, "empty.txt", b"")
    path = f"/yard/tasks/{TASK}/artifacts/empty.txt"
    assert client.get(path).content == b""
    assert client.get(path, headers={"range": "bytes=0-0"}).status_code == 416


def test_a_download_goes_on_only_if_the_file_is_the_same(client: TestClient, files: Files, artifact: str) -> None:
    old = client.get(artifact).headers
    for tag in ("etag", "last-modified"):
        answer = client.get(artifact, headers={"range": "bytes=5-", "if-range": old[tag]})
        assert (answer.status_code, answer.content) == (206, DATA[5:])
    files.save_artifact(TASK, "report.pdf", b"another report")
    for condition in (old["etag"], "W/" + old["etag"], "Thu, 01 Jan 1970 00:00:00 GMT"):
        answer = client.get(artifact, headers={"range": "bytes=5-", "if-range": condition})
        assert (answer.status_code, answer.content) == (200, b"another report")


class Restless(Files):
    """Files whose artifact is replaced just after it was looked at."""

    times: int

    async def stat_artifact(self, task_id: str, name: str) -> StoredFile:
        stored = await super().stat_artifact(task_id, name)
        if self.times:
            self.times -= 1
            self.save_artifact(task_id, name, bytes(self.times))
        return stored


@pytest.mark.parametrize(("times", "status"), [(1, 200), (2, 200), (100, 404)])
def test_an_artifact_replaced_at_the_wrong_moment_is_looked_at_again(
    url: str, app_over: Callable[[Files, int], FastAPI], times: int, status: int
) -> None:
    files = Restless(url)
    files.times = times
    files.save_artifact(TASK, "a.txt", b"first")
    with TestClient(app_over(files, 0)) as client:
        answer = client.get(f"/yard/tasks/{TASK}/artifacts/a.txt")
    assert answer.status_code == status
    if status == 200:
        assert answer.content == b""
        assert answer.headers["etag"] == f'"{hashlib.sha256(b"").hexdigest()[:32]}"'


def test_what_the_asker_has_is_not_sent_again(client: TestClient, files: Files, artifact: str) -> None:
    tag = client.get(artifact).headers["etag"]
    for condition in (tag, f'"x", W/{tag}', "*"):
        answer = client.get(artifact, headers={"if-none-match": condition})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    files.save_artifact(TASK, "report.pdf", b"another report")
    assert client.get(artifact, headers={"if-none-match": tag}).content == b"another report"


def test_the_list_of_artifacts(client: TestClient, files: Files, artifact: str) -> None:
    files.save_artifact(TASK, "a table.csv", b"1")
    found = client.get(f"/yard/tasks/{TASK}/artifacts").json()
    assert [entry["name"] for entry in found] == ["a table.csv", "report.pdf"]
    assert found[1]["url"] == artifact
    assert found[1]["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert client.get(found[0]["url"]).content == b"1"


def test_a_task_without_artifacts(client: TestClient) -> None:
    assert client.get(f"/yard/tasks/{TASK}/artifacts").json() == []
    assert client.get("/yard/tasks/none/artifacts").status_code == 404


@pytest.mark.parametrize(
    ("name", "status"),
    [("none.pdf", 404), ("..", 404), ("%2e%2e%2fsecret", 404), (".env", 422), ("a%00b", 422), ("a%5Cb", 422)],
)
def test_an_artifact_that_cannot_be(client: TestClient, artifact: str, name: str, status: int) -> None:
    folder = artifact.rpartition("/")[0]
    assert client.get(f"{folder}/{name}").status_code == status


def test_the_routes_are_described(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    body = paths["/yard/files"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert body["properties"]["file"]["format"] == "binary"
    assert sorted(paths["/yard/tasks/{task_id}/artifacts/{name}"]) == ["get"]
    assert "application/octet-stream" in paths["/yard/files/{file_id}/content"]["get"]["responses"]["200"]["content"]
