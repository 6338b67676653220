"""Uploads, the same over a folder and over S3."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backyard.core.errors import StorageUnavailableError, TooLargeError, UnknownFileError, UnsafeNameError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from backyard.files import Files, StoredFile

SMALL = b"a,b\n1,2\n"
LARGE = os.urandom(1024) * 1024 * 17 + b"the end"  # three parts, the last one short
UNKNOWN = "01890000-0000-7000-8000-000000000000"


async def pieces(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def upload(files: Files, data: bytes, name: str = "table.csv", limit: int = 1 << 30) -> StoredFile:
    return asyncio.run(files.store_upload(pieces(data), name=name, content_type=None, limit=limit))


async def read(files: Files, stored: StoredFile, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in await files.read_upload(stored, start, end)])


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_what_goes_in_comes_out(files: Files, data: bytes) -> None:
    stored = upload(files, data)
    assert stored.size == len(data)
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert (stored.name, stored.content_type) == ("table.csv", "text/csv")
    assert abs(datetime.now(UTC) - stored.created) < timedelta(hours=1)
    assert asyncio.run(files.describe(stored.id)) == files.describe_sync(stored.id) == stored
    assert asyncio.run(read(files, stored)) == data
    with files.open_upload(stored.id) as handle:
        assert handle.read() == data
        handle.seek(0)
        assert handle.read(3) == data[:3]
    with files.local_path(stored.id) as path:
        assert path.name == "table.csv"
        assert path.read_bytes() == data


def test_a_part_of_a_file_is_read(files: Files) -> None:
    stored = upload(files, LARGE)
    middle = len(LARGE) // 2
    for start, end in [(0, 1), (middle, middle + 5), (len(LARGE) - 3, None), (len(LARGE) - 3, len(LARGE) + 9), (7, 7)]:
        assert asyncio.run(read(files, stored, start, end)) == LARGE[start:end]


@pytest.mark.parametrize("size", [1_000, 9 << 20], ids=["one part", "two parts"])
def test_the_limit_is_the_last_size_that_passes(files: Files, contents: Callable[[], list[str]], size: int) -> None:
    with pytest.raises(TooLargeError, match="BACKYARD_MAX_UPLOAD"):
        upload(files, bytes(size + 1), limit=size)
    assert contents() == []
    stored = upload(files, bytes(size), limit=size)
    assert stored.size == size
    assert len(contents()) == 2


@pytest.mark.parametrize("size", [10, 20 << 20], ids=["before the first part", "after the first part"])
def test_an_upload_that_breaks_leaves_nothing(files: Files, contents: Callable[[], list[str]], size: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for piece in pieces(bytes(size)):
            yield piece
        message = "the line went dead"
        raise ConnectionError(message)

    with pytest.raises(ConnectionError, match="the line went dead"):
        asyncio.run(files.store_upload(broken(), name="a.bin", content_type=None, limit=1 << 30))
    assert contents() == []


@pytest.mark.parametrize("size", [10, 20 << 20], ids=["before the first part", "after the first part"])
def test_an_upload_that_is_cancelled_leaves_nothing(files: Files, contents: Callable[[], list[str]], size: int) -> None:
    async def scenario() -> None:
        all_given = asyncio.Event()

        async def stuck() -> AsyncIterator[bytes]:
            async for piece in pieces(bytes(size)):
                yield piece
            all_given.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(files.store_upload(stuck(), name="a.bin", content_type=None, limit=1 << 30))
        await all_given.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert contents() == []


@pytest.mark.parametrize("file_id", [UNKNOWN, "", "x", "../../etc/passwd", UNKNOWN.upper() + "A", UNKNOWN + "\n", "é"])
def test_an_id_that_names_nothing_is_unknown(files: Files, file_id: str) -> None:
    with pytest.raises(UnknownFileError, match="POST /files"):
        asyncio.run(files.describe(file_id))
    with pytest.raises(UnknownFileError):
        files.describe_sync(file_id)
    with pytest.raises(UnknownFileError):
        files.open_upload(file_id)
    with pytest.raises(UnknownFileError), files.local_path(file_id):
        pass


def test_a_file_without_description_does_not_exist(
    files: Files, url: str, request: pytest.FixtureRequest, contents: Callable[[], list[str]]
) -> None:
    stored = upload(files, SMALL)
    remove(url, f"uploads/{stored.id}.json", request)
    assert contents() == [f"uploads/{stored.id}/table.csv"]
    with pytest.raises(UnknownFileError):
        files.describe_sync(stored.id)


def test_a_file_whose_bytes_are_gone_is_unknown(files: Files, url: str, request: pytest.FixtureRequest) -> None:
    stored = upload(files, SMALL)
    remove(url, f"uploads/{stored.id}/table.csv", request)
    with pytest.raises(UnknownFileError):
        files.open_upload(stored.id)
    with pytest.raises(UnknownFileError), files.local_path(stored.id):
        pass
    with pytest.raises(UnknownFileError):
        asyncio.run(files.read_upload(stored))


def test_a_damaged_description_is_the_storage_s_fault(files: Files, url: str, request: pytest.FixtureRequest) -> None:
    stored = upload(files, SMALL)
    if url.startswith("s3://"):
        request.getfixturevalue("s3").put_object(
            Bucket=url.split("/")[2], Key=f"some/prefix/uploads/{stored.id}.json", Body=b"{"
        )
    else:
        Path(url, f"uploads/{stored.id}.json").write_text("{")
    with pytest.raises(StorageUnavailableError, match="damaged"):
        files.describe_sync(stored.id)


def remove(url: str, key: str, request: pytest.FixtureRequest) -> None:
    if url.startswith("s3://"):
        request.getfixturevalue("s3").delete_object(Bucket=url.split("/")[2], Key=f"some/prefix/{key}")
    else:
        Path(url, key).unlink()


def test_copies_for_reading_go_away(files: Files, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    stored = upload(files, SMALL)
    with files.local_path(stored.id) as path:
        place = copies if url.startswith("s3://") else Path(url)
        assert path.is_relative_to(place)
    with pytest.raises(ZeroDivisionError), files.local_path(stored.id):
        _ = 1 / 0
    files.open_upload(stored.id).close()
    assert list(copies.iterdir()) == []
    assert files.describe_sync(stored.id) == stored


UNSAFE = [
    "",
    ".",
    "..",
    ".env",
    "-rf",
    "a/b",
    "a\\b",
    "../a",
    "a..b",
    "a\0b",
    "a\nb",
    "a\r\nSet-Cookie: x",
    "a\u202eb",
    "a%2fb",
    'a"b',
    "a.",
    "a ",
    " a",
    "x" * 201,
    "字" * 67,
    "\ud800",
]


@pytest.mark.parametrize("name", UNSAFE, ids=ascii)
def test_an_unsafe_name_is_refused(files: Files, contents: Callable[[], list[str]], name: str) -> None:
    with pytest.raises(UnsafeNameError, match="Use a plain name"):
        upload(files, SMALL, name)
    with pytest.raises(UnsafeNameError, match="Use a plain name"):
        files.save_artifact("task", name, SMALL)
    with pytest.raises(UnsafeNameError, match="Use a plain name"):
        asyncio.run(files.stat_artifact("task", name))
    assert contents() == []


SAFE = [
    "a",
    "7",
    "Report (final) v2.1.pdf",
    "it's_a+b,c=d@e&f!.txt",
    "Übersicht.csv",
    "हिन्दी.txt",
    "字" * 66,
    "x" * 200,
]


@pytest.mark.parametrize("name", SAFE, ids=ascii)
def test_a_safe_name_is_kept(files: Files, name: str) -> None:
    assert upload(files, SMALL, name).name == name
    with files.local_path(upload(files, SMALL, name).id) as path:
        assert path.read_bytes() == SMALL
    assert files.save_artifact("task", name, SMALL).name == name
    assert [stored.name for stored in asyncio.run(files.list_artifacts("task"))] == [name]


def test_one_name_in_two_spellings_is_one_name(files: Files) -> None:
    files.save_artifact("task", "U\u0308bersicht.csv", b"decomposed")
    assert asyncio.run(files.stat_artifact("task", "\u00dcbersicht.csv")).size == len(b"decomposed")


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("a.csv", None, "text/csv"),
        ("a.csv", "application/octet-stream", "text/csv"),
        ("a.csv", "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("a.csv", "text/html\r\nX: y", "text/csv"),
        ("a.bin", "nonsense", "application/octet-stream"),
        ("a.parquet", None, "application/vnd.apache.parquet"),
        ("a.xlsx", None, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("a.csv.gz", None, "application/gzip"),
        ("a", None, "application/octet-stream"),
    ],
)
def test_the_media_type(files: Files, name: str, given: str | None, expected: str) -> None:
    assert files.save_artifact("task", name, b"", given).content_type == expected
