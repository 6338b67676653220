"""Both kinds of storage, each for real: a folder on this disk, and a server that speaks S3."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from moto.server import ThreadedMotoServer

from backyard.api.artifacts import artifacts_router
from backyard.api.files import files_router
from backyard.core.errors import BackyardError, UnknownTaskError
from backyard.files import Files
from backyard.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 100_000
TASK = "01890000-0000-7000-8000-000000000000"
SECRETS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """Start a server that speaks S3."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Point the environment at the S3 server; give a client that looks at it from outside."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRETS["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["aws_secret_access_key"])
    monkeypatch.setenv("AWS_REGION", SECRETS["region_name"])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return boto3.client("s3", endpoint_url=s3_address, **SECRETS)


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name an empty place of each kind."""
    if request.param == "folder":
        return str(tmp_path / "files")
    bucket = f"bucket-{uuid.uuid4()}"
    request.getfixturevalue("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/some/prefix"


@pytest.fixture
def files(url: str) -> Files:
    """Open the place."""
    return Files(url)


@pytest.fixture
def contents(url: str, request: pytest.FixtureRequest) -> Callable[[], list[str]]:
    """Look at the place from outside: all that lies there, unfinished uploads and empty folders included."""

    def of_folder() -> list[str]:
        top = Path(url)
        while True:
            try:
                return sorted(
                    str(path.relative_to(top))
                    for path in top.rglob("*")
                    if path.is_file() or (path.parent != top and not any(path.iterdir()))
                )
            except (FileNotFoundError, NotADirectoryError):
                continue  # it went while it was looked at: an upload that ends takes its parts away

    def of_bucket() -> list[str]:
        client, bucket = request.getfixturevalue("s3"), url.split("/")[2]
        objects = client.list_objects_v2(Bucket=bucket).get("Contents", [])
        unfinished = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return sorted(entry["Key"].removeprefix("some/prefix/") for entry in [*objects, *unfinished])

    return of_bucket if url.startswith("s3://") else of_folder


@dataclass
class SmallYard:
    files: Files
    settings: Settings


async def answer_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BackyardError)
    return JSONResponse({"code": error.code, "detail": error.message}, status_code=error.status)


@pytest.fixture
def app_over() -> Callable[[Files, int], FastAPI]:
    """Give a function that builds an app with our routes over some files, with a limit on uploads."""
    return build_app


def build_app(files: Files, limit: int) -> FastAPI:
    async def require_task(task_id: str) -> None:
        if task_id != TASK:
            message = "no such task"
            raise UnknownTaskError(message)

    yard = SmallYard(files, Settings(max_upload=max(limit, 1_024)))
    # An application's own limit on bodies must not be the limit of uploads.
    app = FastAPI(max_body_size=1_024)
    app.include_router(files_router(yard), prefix="/yard")
    app.include_router(artifacts_router(yard, require_task=require_task), prefix="/yard")
    app.add_exception_handler(BackyardError, answer_problem)
    return app


@pytest.fixture
def client(files: Files) -> Iterator[TestClient]:
    """Speak to such an app."""
    with TestClient(build_app(files, LIMIT)) as client:
        yield client
