"""One message sent by HTTP, to an address that was looked at first."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

import httpx2

from backyard.core.webhooks import check_public, checked_url
from backyard.keeper.answer import Answer, PostError

#: Seconds from looking up the name to the end of the answer, all told.
TIMEOUT = 10.0
#: Bytes of an answer that are read.
READ = 1_024
#: Addresses of a name that are tried.
TRIED: Final = 3


class Poster:
    """Posts messages, each on a connection of its own: one that was checked for a host is not used for another.

    Args:
        private: Whether they may go to addresses that are not public.
    """

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._client = httpx2.AsyncClient(
            timeout=TIMEOUT, follow_redirects=False, trust_env=False, http2=False,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )  # fmt: skip

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post a message.

        Args:
            url: Where to.
            body: JSON text.
            headers: Those that sign it.

        Raises:
            PostError: There was no answer, or it may not go there.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._post(httpx2.URL(checked_url(url, private=self._private)), body, headers)
        except TimeoutError:
            raise PostError(f"there was no answer within {TIMEOUT:.0f} s") from None
        except httpx2.HTTPError as error:
            raise PostError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
        except (ValueError, httpx2.InvalidURL) as error:
            raise PostError(str(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, url: httpx2.URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        addresses = await self._addresses(url)
        for address in addresses[:-1]:
            try:
                return await self._post_to(address, url, body, headers)
            except httpx2.ConnectError:
                continue
        return await self._post_to(addresses[-1], url, body, headers)

    async def _addresses(self, url: httpx2.URL) -> list[str]:
        """Look a host up, once: what was checked is what is connected to."""
        loop, host = asyncio.get_running_loop(), url.raw_host.decode("ascii")
        try:
            found = await loop.getaddrinfo(host, url.port or 0, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise PostError(f"the name {host} cannot be looked up: {error}") from error
        addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
        if not self._private:
            check_public(addresses, host)
        return addresses[:TRIED]

    async def _post_to(self, address: str, url: httpx2.URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        sent = {
            "Host": url.netloc.decode("ascii"), "Content-Type": "application/json", "Connection": "close",
            "User-Agent": f"Backyard/{version('backyard')}", "Accept-Encoding": "identity", **headers,
        }  # fmt: skip
        request = self._client.build_request(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers=sent,
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        answer = await self._client.send(request, stream=True)
        try:
            return Answer(answer.status_code, await _beginning(answer))
        finally:
            await answer.aclose()


async def _beginning(answer: httpx2.Response) -> str:
    """Read how a body begins; one that breaks off, or never ends, changes nothing about the status."""
    read = b""
    try:
        async with asyncio.timeout(1):
            async for chunk in answer.aiter_raw():
                read += chunk
                if len(read) >= READ:
                    break
    except (TimeoutError, httpx2.HTTPError):
        pass
    return read[:READ].decode("utf-8", "replace")
