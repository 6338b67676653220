"""`POST /files`: what comes in, over the test client and over a real line."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from backyard.files import Files


LIMIT = 100_000
TASK = "01890000-0000-7000-8000-000000000000"
DATA = bytes(range(256)) * 40


def send(client: TestClient, content: bytes, name: str = "table.csv", kind: str = "text/csv", **more: Any) -> Any:
    return client.post("/yard/files", files={"file": (name, content, kind)}, **more)


def test_an_upload_and_its_description(client: TestClient) -> None:
    answer = send(client, DATA)
    body = answer.json()
    assert answer.status_code == 201
    assert {key: body[key] for key in ("name", "size", "content_type", "sha256")} == {
        "name": "table.csv",
        "size": len(DATA),
        "content_type": "text/csv",
        "sha256": hashlib.sha256(DATA).hexdigest(),
    }
    assert answer.headers["location"] == f"/yard/files/{body['file_id']}"
    assert client.get(answer.headers["location"]).json() == body
    content = client.get(answer.headers["location"] + "/content")
    assert content.content == DATA
    assert content.headers["content-type"].startswith("text/csv")


def test_fields_beside_the_file_are_left_alone(client: TestClient) -> None:
    answer = send(client, DATA, data={"before": "x" * 1_000, "name": "y"})
    assert answer.status_code == 201
    assert client.get(answer.headers["location"] + "/content").content == DATA


def test_a_name_in_another_script(client: TestClient) -> None:
    assert send(client, DATA, "Übersicht 表.csv").json()["name"] == "Übersicht 表.csv"


@pytest.mark.parametrize("name", ["../../etc/passwd", ".env", "a\\..\\b", "a%00b", "a:b", "x" * 201])
def test_an_unsafe_name_is_refused(client: TestClient, contents: Callable[[], list[str]], name: str) -> None:
    answer = send(client, DATA, name)
    assert (answer.status_code, answer.json()["code"]) == (422, "unsafe_name")
    assert contents() == []


def test_the_limit_is_the_last_size_that_passes(client: TestClient, contents: Callable[[], list[str]]) -> None:
    for size in (LIMIT + 1, LIMIT + 200_000):
        answer = send(client, bytes(size))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert contents() == []
    assert send(client, bytes(LIMIT)).json()["size"] == LIMIT


def test_a_long_body_is_refused_before_it_is_read(client: TestClient) -> None:
    read = []

    def body() -> Iterator[bytes]:
        read.append(1)
        yield b"anything"

    headers = {"content-type": "multipart/form-data; boundary=b", "content-length": str(LIMIT * 10)}
    answer = client.post("/yard/files", content=body(), headers=headers)
    assert answer.status_code == 413
    assert f"{LIMIT * 10:,}" in answer.json()["detail"]


def chunked(*pieces: bytes) -> Iterator[bytes]:
    yield from pieces


HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
OTHER = b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\n'
FORM = {"content-type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD, *[bytes(10_000)] * 11, b"\r\n--b--\r\n"),
        (OTHER, *[bytes(10_000)] * 20, b"\r\n", HEAD, b"1", b"\r\n--b--\r\n"),
        (HEAD, b"1\r\n", OTHER, *[bytes(10_000)] * 20, b"\r\n--b--\r\n"),
    ],
    ids=["the file", "a field before", "a field after"],
)
def test_a_body_that_does_not_tell_its_length_is_counted(
    client: TestClient, contents: Callable[[], list[str]], pieces: tuple[bytes, ...]
) -> None:
    answer = client.post("/yard/files", content=chunked(*pieces), headers=FORM)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert contents() == []


def test_a_field_after_the_file_is_no_part_of_it(client: TestClient) -> None:
    answer = client.post("/yard/files", content=chunked(HEAD, b"1\r\n", OTHER, b"2\r\n--b--\r\n"), headers=FORM)
    assert client.get(answer.headers["location"] + "/content").content == b"1"


@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
def test_the_pieces_may_be_cut_anywhere(client: TestClient, size: int) -> None:
    data = b"one\r\n--two\r\n--\r\n-b\r\n"
    body = OTHER + b"x\r\n" + HEAD + data + b"\r\n--b--\r\n"
    cut = [body[start : start + size] for start in range(0, len(body), size)]
    answer = client.post("/yard/files", content=chunked(*cut), headers=FORM)
    assert client.get(answer.headers["location"] + "/content").content == data


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "application/json"}, b"{}"),
        ({}, b"data"),
        ({"content-type": "multipart/form-data"}, b"data"),
        ({"content-type": "multipart/form-data; boundary=" + "b" * 2_000}, b"data"),
        (FORM, b""),
        (FORM, b"no boundary here"),
        (FORM, b"--b--\r\n"),
        (FORM, OTHER + b"x\r\n--b--\r\n"),
        (FORM, HEAD.replace(b'; filename="a.bin"', b"") + b"x\r\n--b--\r\n"),
        (FORM, HEAD.replace(b"a.bin", b"") + b"x\r\n--b--\r\n"),
        (FORM, HEAD + b"x\r\n" + HEAD + b"y\r\n--b--\r\n"),
        (FORM, HEAD + b"cut off in the middle"),
        (FORM, HEAD + b"cut off after the part\r\n--b\r\n"),
        (FORM, b"--b\r\n" + b"X: y\r\n" * 1_000 + HEAD),
    ],
    ids=lambda value: ascii(value[:40]) if isinstance(value, bytes) else "",
)
def test_a_body_that_is_no_upload_is_refused(
    client: TestClient, contents: Callable[[], list[str]], headers: dict[str, str], body: bytes
) -> None:
    answer = client.post("/yard/files", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert contents() == []


def test_an_unknown_file(client: TestClient) -> None:
    for path in (TASK, "x", "..%2f..", f"{TASK}/content"):
        assert client.get(f"/yard/files/{path}").status_code == 404


# Over a real server and a real line.


@pytest.fixture
def address(files: Files, app_over: Callable[[Files, int], FastAPI]) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(app_over(files, 1 << 30), log_level=logging.CRITICAL, lifespan="off")
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()
    server.should_exit = True
    thread.join()
    listening.close()


def until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def begin(line: socket.socket, length: int) -> None:
    line.sendall(
        b"POST /yard/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: %d\r\n\r\n" % length + HEAD
    )


def test_an_upload_is_stored_while_it_arrives_and_a_broken_one_leaves_nothing(
    address: tuple[str, int], contents: Callable[[], list[str]]
) -> None:
    with socket.create_connection(address) as line:
        begin(line, 1 << 29)
        line.sendall(bytes(20 << 20))
        # The line is open and most is still to come, but parts are in the storage.
        until(lambda: contents() != [])
    until(lambda: contents() == [])


def test_a_body_longer_than_it_said_is_cut_and_leaves_nothing(
    address: tuple[str, int], contents: Callable[[], list[str]]
) -> None:
    with socket.create_connection(address) as line:
        begin(line, len(HEAD) + 1_000)
        line.sendall(bytes(1_000) + b"more than said\r\n--b--\r\n")
        # The server itself refuses what follows; the upload ends within its last boundary.
        assert line.recv(65_536).startswith(b"HTTP/1.1 4")
    until(lambda: contents() == [])


def test_a_body_cut_by_its_own_length_leaves_nothing(
    address: tuple[str, int], contents: Callable[[], list[str]]
) -> None:
    with socket.create_connection(address) as line:
        begin(line, len(HEAD) + 1_000)
        line.sendall(bytes(1_000))
        assert b" 422 " in line.recv(65_536).partition(b"\r\n")[0]
    assert contents() == []


def test_a_body_that_says_too_much_is_refused_before_it_is_sent(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as line:
        begin(line, 1 << 40)
        assert b" 413 " in line.recv(65_536).partition(b"\r\n")[0]


def test_a_large_file_goes_in_and_out(address: tuple[str, int], files: Files) -> None:
    data = os.urandom(1_024) * 1_024 * 17
    with socket.create_connection(address) as line:
        begin(line, len(HEAD) + len(data) + 9)
        line.sendall(data + b"\r\n--b--\r\n")
        head = line.recv(65_536).decode()
    assert " 201 " in head.partition("\r\n")[0]
    file_id = head.partition("location: /yard/files/")[2].partition("\r\n")[0]
    with files.local_path(file_id) as path:
        assert Path(path).read_bytes() == data
