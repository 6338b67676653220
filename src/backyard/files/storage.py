"""Objects under keys, in a local folder or an S3 bucket. The only module that knows the storage library's calls."""

from __future__ import annotations

import contextlib
import os
import sys
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.store import LocalStore, S3Store

from backyard.core.errors import StorageUnavailableError
from backyard.files.failures import explained
from backyard.files.finishing import finish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from obstore.store import ClientConfig, RetryConfig

    from backyard.files.place import Place

PART = 8 * 1024 * 1024
"""Bytes sent at once. S3 takes 5 MiB or more a part and 10,000 parts a file."""

_MOST_PARTS = 9_000

CHUNK = 256 * 1024
"""Bytes read at once, at least."""

# A silent store is given up after 8 s and a refused connection after 3 tries; both stay under 10 s. The library's limit
# on a whole transfer would cut long downloads, so only silence counts.
_CLIENT: ClientConfig = {"connect_timeout": "3s", "read_timeout": "8s", "timeout": "7d"}
# A part's answer comes after its bytes have left, which takes long on a thin line.
_PATIENT_CLIENT: ClientConfig = {**_CLIENT, "read_timeout": "60s"}
_RETRIES: RetryConfig = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=8),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
}

Store = LocalStore | S3Store

# The library runs threads that do not survive a fork: a child that inherits them would wait for ever.
_process_in_use: int | None = None


class Storage:
    """One place for objects. Opened at first use, once a process, so that it may be made before a fork.

    Args:
        place: The folder or bucket.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._opened: dict[bool, Store] = {}

    def _store(self, *, patient: bool = False) -> Store:
        global _process_in_use  # noqa: PLW0603 - the library's threads belong to the process, not to this object
        process = os.getpid()
        if _process_in_use not in {None, process}:
            raise StorageUnavailableError(
                "This process was forked from one that had already used the file storage, which cannot work. "
                "Use the files only after the fork, or start processes with 'spawn'."
            )
        _process_in_use = process
        if patient not in self._opened:
            with explained(self._place.url):
                self._opened[patient] = (
                    self._open_folder(self._place.folder) if self._place.folder else self._open_bucket(patient=patient)
                )
        return self._opened[patient]

    @staticmethod
    def _open_folder(folder: Path) -> LocalStore:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(folder, automatic_cleanup=True)

    def _open_bucket(self, *, patient: bool) -> S3Store:
        endpoints = (os.environ.get(name, "") for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"))
        client: ClientConfig = {
            **(_PATIENT_CLIENT if patient else _CLIENT),
            # Only an address that says http:// itself is spoken to without TLS.
            "allow_http": any(endpoint.startswith("http://") for endpoint in endpoints),
        }
        bucket, prefix = self._place.bucket, self._place.prefix or None
        return S3Store(bucket, prefix=prefix, client_options=client, retry_config=_RETRIES)

    # One object, whole: descriptions.

    def load(self, key: str) -> bytes | None:
        """Read a small object; None if there is none."""
        with contextlib.suppress(FileNotFoundError), explained(self._place.url, may_miss=True):
            return bytes(obstore.get(self._store(), key).bytes())
        return None

    async def load_async(self, key: str) -> bytes | None:
        """Read a small object; None if there is none."""
        with contextlib.suppress(FileNotFoundError), explained(self._place.url, may_miss=True):
            result = await obstore.get_async(self._store(), key)
            return bytes(await result.bytes_async())
        return None

    def put(self, key: str, data: bytes) -> None:
        """Write a small object; a reader sees the old or the new one."""
        with explained(self._place.url):
            obstore.put(self._store(), key, data)

    async def put_async(self, key: str, data: bytes) -> None:
        """Write a small object; a reader sees the old or the new one."""
        with explained(self._place.url):
            await obstore.put_async(self._store(), key, data)

    # One object, in pieces: contents. Nothing is there until the block has ended well.

    @contextmanager
    def writer(self, key: str) -> Iterator[Callable[[bytes | memoryview], object]]:
        """Give a function that writes the next bytes of an object; an error inside leaves nothing behind."""
        with explained(self._place.url):
            opened = obstore.open_writer(self._store(patient=True), key, buffer_size=PART, max_concurrency=3)

        def write(data: bytes | memoryview) -> None:
            with explained(self._place.url):
                opened.write(data)

        try:
            yield write
            with explained(self._place.url):
                opened.close()
        except BaseException:
            with contextlib.suppress(Exception):
                opened.__exit__(*sys.exc_info())
            self._remove_empty(key)
            raise

    @asynccontextmanager
    async def writer_async(
        self, key: str, limit: int
    ) -> AsyncIterator[Callable[[bytes | memoryview], Awaitable[None]]]:
        """Give a function that writes the next bytes of an object; an error inside leaves nothing behind.

        Args:
            key: The object.
            limit: Most bytes that will be written.
        """
        part = max(PART, limit // _MOST_PARTS)
        with explained(self._place.url):
            opened = obstore.open_writer_async(self._store(patient=True), key, buffer_size=part, max_concurrency=3)

        async def write(data: bytes | memoryview) -> None:
            with explained(self._place.url):
                await opened.write(data)

        async def abandon(*failure: Any) -> None:
            with contextlib.suppress(Exception):
                await opened.__aexit__(*failure)
            self._remove_empty(key)

        try:
            yield write
            with explained(self._place.url):
                await opened.close()
        except BaseException:
            await finish(abandon(*sys.exc_info()))
            raise

    def read(self, key: str) -> Iterator[memoryview]:
        """Read an object in pieces.

        Raises:
            FileNotFoundError: There is no such object.
            StorageUnavailableError: The storage failed.
        """
        with explained(self._place.url, may_miss=True):
            pieces = iter(obstore.get(self._store(), key).stream(min_chunk_size=CHUNK))
            for piece in pieces:
                yield memoryview(piece)

    async def read_async(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Begin to read an object in pieces; what fails at the beginning fails here.

        Args:
            key: The object.
            start: First byte.
            end: One past the last byte; more than ``start``.

        Raises:
            FileNotFoundError: There is no such object.
            StorageUnavailableError: The storage failed.
        """
        with explained(self._place.url, may_miss=True):
            result = await obstore.get_async(self._store(), key, options={"range": (start, end)})

        async def pieces() -> AsyncIterator[bytes]:
            with explained(self._place.url):
                async for piece in result.stream(min_chunk_size=CHUNK):
                    yield bytes(piece)

        return pieces()

    async def list_async(self, folder: str) -> list[str]:
        """List the keys right below a folder."""
        with explained(self._place.url):
            found = await obstore.list_with_delimiter_async(self._store(), folder)
            return [entry["path"] for entry in found["objects"]]

    def delete(self, *keys: str) -> None:
        """Delete objects that may be gone already."""
        for key in keys:
            with contextlib.suppress(FileNotFoundError), explained(self._place.url, may_miss=True):
                obstore.delete(self._store(), key)

    async def delete_async(self, *keys: str) -> None:
        """Delete objects that may be gone already."""
        for key in keys:
            with contextlib.suppress(FileNotFoundError), explained(self._place.url, may_miss=True):
                await obstore.delete_async(self._store(), key)

    async def delete_folder_async(self, folder: str) -> None:
        """Delete everything below a folder."""
        with explained(self._place.url):
            async for entries in obstore.list(self._store(), folder):
                await self.delete_async(*(entry["path"] for entry in entries))

    def _remove_empty(self, key: str) -> None:
        # The library clears away the folders of what it deletes, but not of what never came to be.
        if self._place.folder:
            with contextlib.suppress(OSError):
                (self._place.folder / key).parent.rmdir()
