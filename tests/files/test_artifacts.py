"""Artifacts, the same over a folder and over S3."""

from __future__ import annotations

import asyncio
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from backyard.core.errors import UnknownArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from backyard.files import Files, StoredFile

TASK = "01890000-0000-7000-8000-000000000000"
LARGE = bytes(range(256)) * 4096 * 17 + b"the end"


async def read(files: Files, task: str, name: str | StoredFile, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in await files.read_artifact(task, name, start, end)])


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "path", "text path", "handle", "buffer"])
def test_every_kind_of_data_is_saved(files: Files, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(LARGE)
    with source.open("rb") as handle:
        data: Any = {
            "bytes": LARGE,
            "bytearray": bytearray(LARGE),
            "memoryview": memoryview(LARGE),
            "path": source,
            "text path": str(source),
            "handle": handle,
            "buffer": io.BytesIO(LARGE),
        }[kind]
        stored = files.save_artifact(TASK, "out.bin", data)
    assert stored.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert asyncio.run(files.stat_artifact(TASK, "out.bin")) == stored
    assert asyncio.run(read(files, TASK, "out.bin")) == LARGE
    assert asyncio.run(read(files, TASK, stored, 1_000, 1_004)) == LARGE[1_000:1_004]


def test_an_empty_artifact(files: Files) -> None:
    files.save_artifact(TASK, "empty", b"")
    assert asyncio.run(read(files, TASK, "empty")) == b""


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("/no/such/file", FileNotFoundError),
        (io.StringIO("text"), TypeError),
        (7, TypeError),
    ],
)
def test_data_that_cannot_be_saved_leaves_nothing(
    files: Files, contents: Callable[[], list[str]], data: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        files.save_artifact(TASK, "out.bin", data)
    assert contents() == []


def test_a_source_that_breaks_leaves_the_old_artifact(files: Files, contents: Callable[[], list[str]]) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            block = super().read(size)
            if not block:
                message = "bad sector"
                raise OSError(message)
            return block

    files.save_artifact(TASK, "out.bin", b"old")
    before = contents()
    with pytest.raises(OSError, match="bad sector"):
        files.save_artifact(TASK, "out.bin", Broken(LARGE))
    assert contents() == before
    assert asyncio.run(read(files, TASK, "out.bin")) == b"old"


def test_saving_again_replaces_and_keeps_one(files: Files, contents: Callable[[], list[str]]) -> None:
    old = files.save_artifact(TASK, "out.bin", b"old")
    new = files.save_artifact(TASK, "out.bin", b"newer")
    assert len(contents()) == 2
    assert asyncio.run(files.stat_artifact(TASK, "out.bin")) == new
    assert asyncio.run(read(files, TASK, "out.bin")) == b"newer"
    with pytest.raises(UnknownArtifactError):
        asyncio.run(read(files, TASK, old))


def test_readers_see_one_whole_version_while_writers_fight(files: Files) -> None:
    files.save_artifact(TASK, "out.bin", b"0" * 1_000)
    together = Barrier(6)

    def write(number: int) -> None:
        together.wait()
        for turn in range(8):
            files.save_artifact(TASK, "out.bin", bytes([number]) * (1_000 * (turn + 1)))

    async def look() -> list[tuple[StoredFile, bytes]]:
        seen: list[tuple[StoredFile, bytes]] = []
        while len(seen) < 20:
            stored = await files.stat_artifact(TASK, "out.bin")
            try:
                seen.append((stored, await read(files, TASK, stored)))
            except UnknownArtifactError:
                # Replaced meanwhile, and said so.
                continue
        return seen

    def look_from_outside() -> list[tuple[StoredFile, bytes]]:
        together.wait()
        return asyncio.run(look())

    with ThreadPoolExecutor(6) as threads:
        writers = [threads.submit(write, number) for number in range(1, 5)]
        readers = [threads.submit(look_from_outside) for _ in range(2)]
        for writer in writers:
            writer.result()
        seen = [pair for reader in readers for pair in reader.result()]

    assert len(seen) == 40
    for stored, data in seen:
        assert hashlib.sha256(data).hexdigest() == stored.sha256
    last = asyncio.run(files.stat_artifact(TASK, "out.bin"))
    assert asyncio.run(read(files, TASK, last)) == asyncio.run(read(files, TASK, "out.bin"))
    assert len(asyncio.run(files.list_artifacts(TASK))) == 1


ODD = ["../../etc", "a/b", "a/b/c", "", ".", "..", "A", "a", "a b", "é", "x" * 2_000, "a\0b", "\ud800", "a.", "_" * 41]


def test_odd_task_ids_stay_apart_and_inside(files: Files, contents: Callable[[], list[str]]) -> None:
    for task in ODD:
        files.save_artifact(task, "out.bin", ascii(task).encode())
    for task in ODD:
        assert asyncio.run(read(files, task, "out.bin")) == ascii(task).encode()
        assert len(asyncio.run(files.list_artifacts(task))) == 1
    found = contents()
    assert len(found) == 2 * len(ODD)
    assert {key.split("/")[0] for key in found} == {"artifacts"}
    assert len({key.split("/")[1].casefold() for key in found}) == len(ODD)


def test_a_list_is_in_order_and_of_one_task(files: Files) -> None:
    for name in ("b.txt", "a.txt", "c.txt"):
        files.save_artifact(TASK, name, name.encode())
    files.save_artifact(TASK + "0", "d.txt", b"another task's")
    assert [stored.name for stored in asyncio.run(files.list_artifacts(TASK))] == ["a.txt", "b.txt", "c.txt"]
    assert asyncio.run(files.list_artifacts("none")) == []


def test_deleting_takes_all_of_one_task(files: Files, contents: Callable[[], list[str]]) -> None:
    files.save_artifact("kept", "a.txt", b"1")
    before = contents()
    for name in ("a.txt", "b.txt"):
        files.save_artifact(TASK, name, b"2")
    asyncio.run(files.delete_artifacts(TASK))
    asyncio.run(files.delete_artifacts(TASK))
    assert contents() == before
    with pytest.raises(UnknownArtifactError, match="lists what it has"):
        asyncio.run(files.stat_artifact(TASK, "a.txt"))
    with pytest.raises(UnknownArtifactError):
        asyncio.run(read(files, TASK, "a.txt"))
    assert asyncio.run(read(files, "kept", "a.txt")) == b"1"
