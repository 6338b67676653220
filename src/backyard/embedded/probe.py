"""Ask an HTTP server for a status code, with nothing but a socket."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit


async def http_status(url: str, timeout: float = 2.0) -> int | None:  # noqa: ASYNC109 - covers the whole exchange
    """Send one GET.

    Args:
        url: ``http://`` address.
        timeout: Seconds for the whole exchange.

    Returns:
        The status code; None when nobody answers in time, or not in HTTP.
    """
    parts = urlsplit(url)
    request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    with suppress(OSError, ValueError, IndexError):
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            try:
                writer.write(request.encode())
                return int((await reader.readline()).split()[1])
            finally:
                writer.close()
    return None
