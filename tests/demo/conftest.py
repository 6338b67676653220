"""A place to run the demo's jobs directly: a local context, its uploads and its artifacts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from backyard import Context, File
from backyard.demo.demo_yard import yard
from backyard.files import Files
from backyard.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


class Place:
    """One job's surroundings.

    Args:
        folder: Where files and artifacts are.
    """

    def __init__(self, folder: Path) -> None:
        self.ctx = Context.local(folder)
        self.files = Files(str(folder))

    def upload(self, content: bytes, name: str = "upload.bin") -> File:
        """Store a file as POST /files would."""

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        stored = asyncio.run(self.files.store_upload(chunks(), name=name, content_type=None, limit=1 << 30))
        return File(id=stored.id)

    def artifact(self, name: str) -> bytes:
        """Return what the job saved under a name."""

        async def read() -> bytes:
            return b"".join([piece async for piece in await self.files.read_artifact(self.ctx.task_id, name)])

        return asyncio.run(read())

    def artifacts(self) -> list[str]:
        """Return the names of all that the job saved."""
        return [stored.name for stored in asyncio.run(self.files.list_artifacts(self.ctx.task_id))]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


@pytest.fixture(scope="session")
def new_place() -> Callable[[Path], Place]:
    """For a place that lasts longer than one test."""
    return Place


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of the test's own."""
    monkeypatch.setattr(yard, "settings", Settings(data_dir=tmp_path / "data"))
    return tmp_path / "data"
