"""Uploads and artifacts: what goes in, what comes out, and what it is called."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import uuid
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from pydantic import ValidationError

from backyard.core.errors import StorageUnavailableError, UnknownArtifactError
from backyard.files import names
from backyard.files.finishing import finish
from backyard.files.place import Place
from backyard.files.stored import Draft, StoredFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from backyard.files.storage import Storage
    from backyard.settings import Settings

Data = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""What can be saved: bytes, the path of a file, or a file open for reading bytes."""

_BLOCK = 1024 * 1024
_TRIES = 3


class Files:
    """Uploaded files and artifacts behind one URL. Cheap to make; nothing is opened before the first use.

    Args:
        url: A folder (made with mode 0700 if missing), ``file:///folder`` or ``s3://bucket/prefix``. S3 takes its
            credentials, region and endpoint from the usual ``AWS_*`` variables.

    Raises:
        SettingsError: The URL is of no kind that can be used.

    Every method raises StorageUnavailableError if the storage cannot be reached or will not write.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._place = Place.read(url)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Open what the settings name: ``files_url``, else the folder ``files`` of the data directory."""
        return cls(settings.files_url or str(settings.data_dir / "files"))

    @cached_property
    def _storage(self) -> Storage:
        from backyard.files.storage import Storage  # noqa: PLC0415 - a process that touches no file loads no library

        return Storage(self._place)

    def probe(self) -> None:
        """Write a few bytes, read them back and delete them: is this storage fit for use?"""
        key = f"probe/{uuid.uuid4().hex}"
        self._storage.put(key, b"probe")
        try:
            if self._storage.load(key) != b"probe":
                raise StorageUnavailableError(f"The file storage {self.url} does not give back what was written to it.")
        finally:
            self._storage.delete(key)

    # Uploads.

    async def store_upload(
        self, chunks: AsyncIterator[bytes], *, name: str, content_type: str | None, limit: int
    ) -> StoredFile:
        """Store a file while it arrives; if anything fails, nothing is left of it.

        Args:
            chunks: The bytes; an error from here is passed on.
            name: What the sender calls it.
            content_type: Its media type, if the sender said so.
            limit: Most bytes.

        Raises:
            UnsafeNameError: The name is not safe.
            TooLargeError: There are more bytes than ``limit``.
        """
        draft = Draft(name, content_type, limit)
        key, card = names.upload_key(draft.id, draft.name), names.upload_card(draft.id)
        # A storage that is silent shows it here, in seconds: the writer has to be patient with thin lines.
        await self._storage.load_async(card)
        async with self._storage.writer_async(key, limit=limit) as write:
            async for chunk in chunks:
                draft.add(chunk)
                await write(chunk)
        stored = draft.finished()
        try:
            await self._storage.put_async(card, _encode(stored))
        except BaseException:
            with contextlib.suppress(StorageUnavailableError):
                await finish(self._storage.delete_async(card, key))
            raise
        return stored

    async def describe(self, file_id: str) -> StoredFile:
        """Say what is known about an uploaded file.

        Raises:
            UnknownFileError: No uploaded file has that id.
        """
        return self._described(file_id, await self._storage.load_async(names.upload_card(names.known_file_id(file_id))))

    def describe_sync(self, file_id: str) -> StoredFile:
        """Say what is known about an uploaded file, as ``describe`` does."""
        return self._described(file_id, self._storage.load(names.upload_card(names.known_file_id(file_id))))

    async def read_upload(self, stored: StoredFile, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Begin to read an uploaded file; the answer gives its bytes in pieces.

        Args:
            stored: What ``describe`` said.
            start: First byte.
            end: One past the last byte; None for the rest.

        Raises:
            UnknownFileError: The file is gone.
        """
        try:
            return await self._read(names.upload_key(stored.id, stored.name), stored, start, end)
        except FileNotFoundError:
            raise names.unknown_file(stored.id) from None

    def open_upload(self, file_id: str) -> BinaryIO:
        """Open an uploaded file for reading; from S3 it comes as a temporary copy that goes away when it is closed.

        Raises:
            UnknownFileError: No uploaded file has that id.
        """
        stored = self.describe_sync(file_id)
        local = self._local(stored)
        if local:
            return self._open_local(local, file_id)
        copy = cast("BinaryIO", tempfile.TemporaryFile(prefix="backyard-"))  # noqa: SIM115 - the caller closes it
        try:
            self._download(stored, copy)
            copy.seek(0)
        except BaseException:
            copy.close()
            raise
        return copy

    @contextmanager
    def local_path(self, file_id: str) -> Iterator[Path]:
        """Give an uploaded file's path on this machine: read it, but do not change it.

        It is the file itself in a local folder, and a temporary copy under the file's name otherwise.

        Raises:
            UnknownFileError: No uploaded file has that id.
        """
        stored = self.describe_sync(file_id)
        local = self._local(stored)
        if local:
            self._open_local(local, file_id).close()
            yield local
            return
        with tempfile.TemporaryDirectory(prefix="backyard-") as folder:
            path = Path(folder, stored.name)
            with path.open("wb") as copy:
                self._download(stored, copy)
            yield path

    # Artifacts.

    def save_artifact(self, task_id: str, name: str, data: Data, content_type: str | None = None) -> StoredFile:
        """Save what a task made. An artifact of the same name is replaced at once: readers see the old or the new one.

        Args:
            task_id: The task; any text.
            name: What the artifact is called.
            data: The bytes, the path of a file, or a file open for reading bytes.
            content_type: Its media type; None to tell it by the name.

        Raises:
            UnsafeNameError: The name is not safe.
            OSError: The given file cannot be read.
            TypeError: The data is of no kind that can be saved.
        """
        draft = Draft(name, content_type)
        key, card = names.artifact_key(task_id, draft.id, draft.name), names.artifact_card(task_id, draft.name)
        # As in store_upload: a silent storage shows it here.
        self._storage.load(card)
        with self._storage.writer(key) as write:
            for block in _blocks(data):
                draft.add(block)
                write(block)
        stored = draft.finished()
        previous = self._current(card)
        try:
            self._storage.put(card, _encode(stored))
        except BaseException:
            # The answer may have been lost after the write: only what the card does not name may go.
            with contextlib.suppress(StorageUnavailableError):
                if self._current(card) != stored:
                    self._storage.delete(key)
            raise
        if previous:
            with contextlib.suppress(StorageUnavailableError):
                self._storage.delete(names.artifact_key(task_id, previous.id, previous.name))
        return stored

    async def stat_artifact(self, task_id: str, name: str) -> StoredFile:
        """Say what is known about a task's artifact.

        Raises:
            UnknownArtifactError: The task has saved no artifact of that name.
            UnsafeNameError: The name is not safe.
        """
        safe = names.safe_name(name)
        card = await self._storage.load_async(names.artifact_card(task_id, safe))
        if card is None:
            raise _unknown_artifact(task_id, safe)
        return self._decode(card)

    async def read_artifact(
        self, task_id: str, name: str | StoredFile, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """Begin to read an artifact; the answer gives the bytes of one version in pieces.

        Args:
            task_id: The task.
            name: The artifact's name, or what ``stat_artifact`` said, to read that version and no other.
            start: First byte.
            end: One past the last byte; None for the rest.

        Raises:
            UnknownArtifactError: There is no such artifact, or that version has been replaced.
            UnsafeNameError: The name is not safe.
        """
        for _ in range(_TRIES):
            stored = name if isinstance(name, StoredFile) else await self.stat_artifact(task_id, name)
            try:
                return await self._read(names.artifact_key(task_id, stored.id, stored.name), stored, start, end)
            except FileNotFoundError:
                if isinstance(name, StoredFile):
                    break
        raise _unknown_artifact(task_id, stored.name)

    async def list_artifacts(self, task_id: str) -> list[StoredFile]:
        """List a task's artifacts by name; a task that saved none has none."""
        keys = await self._storage.list_async(names.task_folder(task_id))
        slots = asyncio.Semaphore(16)

        async def load(key: str) -> bytes | None:
            async with slots:
                return await self._storage.load_async(key)

        cards = await asyncio.gather(*(load(key) for key in keys))
        return sorted((self._decode(card) for card in cards if card is not None), key=lambda stored: stored.name)

    async def delete_artifacts(self, task_id: str) -> None:
        """Delete all that a task saved."""
        folder = names.task_folder(task_id)
        # The cards first: an artifact without bytes must not be seen.
        await self._storage.delete_async(*await self._storage.list_async(folder))
        await self._storage.delete_folder_async(folder)

    # Parts of the above.

    def _described(self, file_id: str, card: bytes | None) -> StoredFile:
        if card is None:
            raise names.unknown_file(file_id)
        return self._decode(card)

    def _decode(self, card: bytes) -> StoredFile:
        try:
            return StoredFile.model_validate_json(card)
        except ValidationError as error:
            raise StorageUnavailableError(
                f"A description in the file storage {self.url} is damaged. Restore it from a backup."
            ) from error

    def _current(self, card: str) -> StoredFile | None:
        found = self._storage.load(card)
        return None if found is None else self._decode(found)

    def _local(self, stored: StoredFile) -> Path | None:
        folder = self._place.folder
        return folder / names.upload_key(stored.id, stored.name) if folder else None

    def _open_local(self, path: Path, file_id: str) -> BinaryIO:
        try:
            return path.open("rb")
        except FileNotFoundError:
            raise names.unknown_file(file_id) from None
        except OSError as error:
            raise StorageUnavailableError(
                f"{path} cannot be read: {error.strerror}. Correct its permissions."
            ) from error

    def _download(self, stored: StoredFile, into: BinaryIO) -> None:
        try:
            into.writelines(self._storage.read(names.upload_key(stored.id, stored.name)))
        except FileNotFoundError:
            raise names.unknown_file(stored.id) from None

    async def _read(self, key: str, stored: StoredFile, start: int, end: int | None) -> AsyncIterator[bytes]:
        stop = stored.size if end is None else min(end, stored.size)
        # Storages refuse an empty range, and an empty file has no other.
        return await self._storage.read_async(key, start, stop) if start < stop else _nothing()


async def _nothing() -> AsyncIterator[bytes]:
    none: tuple[bytes, ...] = ()
    for piece in none:
        yield piece


def _encode(stored: StoredFile) -> bytes:
    return stored.model_dump_json().encode()


def _unknown_artifact(task_id: str, name: str) -> UnknownArtifactError:
    return UnknownArtifactError(
        f"The task {task_id[:80]!a} has no artifact named {name!r}. GET /tasks/{{task_id}}/artifacts lists what it has."
    )


def _blocks(data: Data) -> Iterator[bytes | memoryview]:
    if isinstance(data, bytes | bytearray | memoryview):
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _BLOCK):
            yield view[start : start + _BLOCK]
    elif isinstance(data, str | os.PathLike):
        with Path(data).open("rb") as file:
            yield from _blocks(file)
    elif hasattr(data, "read"):
        # Looked at before it is found empty: a text file that has been read to its end gives '' here.
        while _is_bytes(block := data.read(_BLOCK)):
            yield block
    else:
        raise TypeError(
            f"An artifact cannot be saved from {type(data).__name__}. "
            "Give bytes, a path, or a file opened with mode 'rb'."
        )


def _is_bytes(block: object) -> bool:
    if not isinstance(block, bytes | bytearray | memoryview):
        raise TypeError("An artifact is saved from bytes: open the file with mode 'rb', or encode the text first.")
    return len(block) > 0
