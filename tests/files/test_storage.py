"""Places that cannot be used, and how places are opened."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from backyard.core.errors import SettingsError, StorageUnavailableError
from backyard.files import Files
from backyard.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

FILE_ID = "01890000-0000-7000-8000-000000000000"


async def one_piece() -> AsyncIterator[bytes]:
    yield b"data"


def every_verb(files: Files) -> dict[str, Callable[[], Any]]:
    return {
        "store": lambda: asyncio.run(files.store_upload(one_piece(), name="a", content_type=None, limit=10)),
        "describe": lambda: asyncio.run(files.describe(FILE_ID)),
        "describe_sync": lambda: files.describe_sync(FILE_ID),
        "open": lambda: files.open_upload(FILE_ID),
        "save": lambda: files.save_artifact("task", "a", b"data"),
        "save large": lambda: files.save_artifact("task", "a", bytes(20 << 20)),
        "stat": lambda: asyncio.run(files.stat_artifact("task", "a")),
        "read": lambda: asyncio.run(files.read_artifact("task", "a")),
        "list": lambda: asyncio.run(files.list_artifacts("task")),
        "delete": lambda: asyncio.run(files.delete_artifacts("task")),
    }


VERBS = list(every_verb(Files("unused")))


@contextmanager
def refused(*words: str) -> Iterator[None]:
    with pytest.raises(StorageUnavailableError) as caught:
        yield
    for word in words:
        assert word in caught.value.message


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_bucket(verb: str) -> None:
    with refused("s3://no-such-bucket", "does not exist", "BACKYARD_FILES_URL"):
        every_verb(Files("s3://no-such-bucket/prefix"))[verb]()


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("verb", VERBS)
def test_nobody_listens(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # held, and never listened on
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{held.getsockname()[1]}")
        with refused("does not answer", "AWS_ENDPOINT_URL"):
            every_verb(Files("s3://bucket"))[verb]()


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("verb", ["describe", "save"])
def test_a_server_that_never_answers_is_given_up(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with refused("does not answer"):
            every_verb(Files("s3://bucket"))[verb]()


@contextmanager
def web_server(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (404, b"<html>Not Found</html>", "404"),
        (403, b"<Error><Code>AccessDenied</Code></Error>", "permission"),
        (403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "credentials"),
        (400, b"<Error><Code>AuthorizationHeaderMalformed</Code></Error>", "AWS_REGION"),
    ],
)
def test_an_answer_that_is_no_file(monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, word: str) -> None:
    with web_server(status, body) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with refused(word):
            Files("s3://bucket").describe_sync(FILE_ID)


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_where_the_folder_should_be(tmp_path: Path, verb: str) -> None:
    (tmp_path / "taken").write_text("a file")
    with refused("a file stands where a folder is needed"):
        every_verb(Files(str(tmp_path / "taken")))[verb]()


@pytest.mark.parametrize("verb", ["store", "save", "save large"])
def test_a_file_inside_the_folder_is_in_the_way(tmp_path: Path, verb: str) -> None:
    (tmp_path / "uploads").write_text("a file")
    (tmp_path / "artifacts").write_text("a file")
    with refused("a file stands where a folder is needed"):
        every_verb(Files(str(tmp_path)))[verb]()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://bucket",
        "gs://bucket",
        "s3://",
        "s3:///prefix",
        "s3://key:secret@bucket",
        "s3://b?x=1",
        "file://host/a",
    ],
)
def test_an_url_that_cannot_work(url: str) -> None:
    with pytest.raises(SettingsError, match="s3://bucket/prefix") as caught:
        Files(url)
    assert "secret@" not in str(caught.value)


def test_nothing_is_made_before_the_first_use(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    files = Files.from_settings(settings)
    assert list(tmp_path.iterdir()) == []
    files.save_artifact("task", "a", b"data")
    folder = tmp_path / "data" / "files"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_settings_choose_the_place(tmp_path: Path) -> None:
    Files.from_settings(Settings(files_url=str(tmp_path / "here"))).save_artifact("task", "a", b"data")
    assert (tmp_path / "here" / "artifacts" / "task").is_dir()


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    Files(f"file://{tmp_path}/with%20space").save_artifact("task", "a", b"data")
    assert (tmp_path / "with space" / "artifacts" / "task").is_dir()


def test_a_relative_folder_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = Files("here")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    files.save_artifact("task", "a", b"data")
    assert (tmp_path / "here").is_dir()


FORK = """
import os, signal, sys
from backyard.core.errors import StorageUnavailableError
from backyard.files import Files

signal.alarm(120)
files = Files(sys.argv[1])
if sys.argv[2] == "used":
    files.save_artifact("parent", "a", b"data")
child = os.fork()
if child == 0:
    signal.alarm(120)
    try:
        files.save_artifact("child", "a", b"data")
    except StorageUnavailableError as error:
        os._exit(42 if "forked" in error.message else 43)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize(("before", "code"), [("unused", "0"), ("used", "42")])
def test_a_fork(tmp_path: Path, before: str, code: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, str(tmp_path / "files"), before],
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == code
    assert (tmp_path / "files" / "artifacts" / "child").exists() == (code == "0")
