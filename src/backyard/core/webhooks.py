"""Webhooks: which URLs may be told of tasks, how a message is signed, and when one that failed is sent again.

Source: "Standard Webhooks", specification 1.0.0, standardwebhooks.com.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import datetime
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import Url

LONGEST_URL = 2_048
LONGEST_NAME = 255
#: What a secret begins with; the rest is the key in base64.
PREFIX = "whsec_"
#: Bytes that a key may have.
SHORTEST_KEY, LONGEST_KEY = 24, 64
HOW_TO_MAKE_ONE = (
    "python -c \"import base64, secrets; print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""
)
#: Seconds before the second attempt, and the longest wait between two; each wait is twice the one before.
FIRST_WAIT, LONGEST_WAIT = 5.0, 3_600.0
#: Attempts of one message: with these waits, they are spread over a day.
MOST_ATTEMPTS: Final = 36

#: States in which a task ends; a webhook hears of nothing else.
End = Literal["SUCCESS", "FAILURE", "REVOKED"]
DeliveryState = Literal["waiting", "delivered", "given_up"]


def _checked_names(value: list[str]) -> list[str]:
    for name in value:
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"a definition's name has 1 to {LONGEST_NAME} characters")
    return value


Names = Annotated[list[str], Field(max_length=100), AfterValidator(_checked_names)]


class NewWebhook(BaseModel):
    """A webhook of the yard, to be made."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=LONGEST_URL, description="Where to send messages: http:// or https://")
    names: Names = Field(default=[], description="Definitions to tell of; none is all")
    states: list[End] = Field(default=[], max_length=3, description="States to tell of; none is all final ones")


class WebhookChange(BaseModel):
    """What is to be another at a webhook; what is not named stays as it is."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(default=None, max_length=LONGEST_URL, description="Where to send messages")
    names: Names | None = Field(default=None, description="Definitions to tell of; none is all")
    states: list[End] | None = Field(default=None, max_length=3, description="States to tell of; none is all")
    enabled: bool | None = Field(default=None, description="Whether it is told of tasks")


class WebhookView(BaseModel):
    """A webhook of the yard."""

    webhook_id: str
    url: str
    names: list[str] = Field(description="Definitions it is told of; none is all")
    states: list[End] = Field(description="States it is told of; none is all final ones")
    enabled: bool = Field(description="False after somebody has disabled it, or its receiver has answered 410 Gone")
    date_created: datetime


class WebhookMade(WebhookView):
    """A webhook that was made just now."""

    secret: str = Field(description="Key of its signatures, shown this once")


class DeliveryView(BaseModel):
    """A message to a webhook."""

    delivery_id: str = Field(description="The message's webhook-id, the same in each attempt")
    task_id: str | None = Field(description="The task it tells of; null for a test")
    webhook_id: str | None = Field(description="The yard's webhook; null where definition or submit name the URL")
    url: str
    state: DeliveryState
    attempts: int
    status: int | None = Field(description="HTTP status of the last answer")
    error: str | None = Field(description="Why the last attempt failed")
    seconds: float | None = Field(description="How long the last attempt took")
    date_created: datetime
    date_next: datetime | None = Field(description="When it is sent next")
    date_done: datetime | None


def checked_url(text: str, *, private: bool) -> str:
    """Return a URL that messages may go to, in its normal form.

    Args:
        text: The URL.
        private: Whether it may name an address that is not public.

    Raises:
        ValueError: It may not; the text says why.
    """
    if len(text) > LONGEST_URL:
        raise ValueError(f"it has {len(text)} characters; {LONGEST_URL} are the most")
    try:
        url = Url(text)
    except ValidationError:
        raise ValueError("it is no URL: write https://host/path") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"it begins with {url.scheme}:, and can begin with https:// or http://")
    if url.username is not None or url.password is not None:
        raise ValueError("it holds a user or a password: leave them out, messages are signed")
    address = literal_of(url.host)
    if address is not None and not private:
        check_public([address], address)
    return str(url)


def literal_of(host: str) -> str | None:
    """Return the address that a URL's host is; None where it is a name."""
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return None


def check_public(addresses: list[str], host: str) -> None:
    """Refuse a host that has an address within a private network, this machine's own included.

    Args:
        addresses: All addresses of the host.
        host: The host, for the message.

    Raises:
        ValueError: One of them is not public.
    """
    for address in addresses:
        if not is_public(address):
            where = f"{address} is" if address == host else f"{host} leads to {address}, which is"
            raise ValueError(f"{where} no public address. Set BACKYARD_WEBHOOK_PRIVATE=1 if webhooks may go there")


def is_public(text: str) -> bool:
    """Whether an address is one of the public Internet's, whatever way it is written."""
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(str(address.ipv4_mapped))
        if address.sixtofour is not None or address.teredo is not None:
            return False  # tunnels, behind which any IPv4 address may stand
    return address.is_global and not address.is_multicast and not address.is_reserved


# -- signatures ---------------------------------------------------------------------------------------------------


def new_secret() -> str:
    """Return a new key for signatures."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """Return the key of a secret.

    Raises:
        ValueError: It is none; the text says what to do.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ValueError(
            f"it is no webhook secret: {PREFIX} and the base64 of {SHORTEST_KEY} to {LONGEST_KEY} random bytes. "
            f"This makes one: {HOW_TO_MAKE_ONE}"
        )
    return key


def signed_headers(secret: str, delivery_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that show who sent a message, and when.

    Args:
        secret: The key that the receiver knows as well.
        delivery_id: The message's id.
        timestamp: Seconds since 1970, now.
        body: The message.

    Raises:
        ValueError: The secret is none.
    """
    signed = hmac.new(key_of(secret), f"{delivery_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def place_of(webhook_id: str) -> str:
    """Return what a webhook's secret is sealed for."""
    return f"webhook:{webhook_id}"


def wait_after(attempts: int, chance: float) -> float | None:
    """Return the seconds to wait before a message is sent again; None where it is given up.

    Args:
        attempts: Attempts that have failed, at least one.
        chance: From 0 to 1; waits are drawn from the upper fifth of their length, so that not all come back at once.
    """
    if attempts >= MOST_ATTEMPTS:
        return None
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempts - 1, 30)) * (0.8 + 0.2 * chance)
