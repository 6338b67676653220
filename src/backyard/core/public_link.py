"""Public links: signed texts that let whoever has one see one task, for a time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from backyard.core.errors import ExpiredLinkError, UnknownLinkError

#: Bytes of a signing key, and of a signature: half of what HMAC-SHA-256 gives, as RFC 2104 allows.
KEY_LENGTH: Final = 32
_SIGNATURE = 16
#: Version, what is shown (bits), and the second at which it expires; the task's id follows.
_HEAD: Final = struct.Struct(">BBQ")
_VERSION = 1
_ARTIFACTS, _RESULT = 1, 2
_WRONG = "This link is not complete, or was not made here. Ask whoever sent it for a new one."


@dataclass(frozen=True, slots=True)
class PublicLink:
    """What a public link lets see.

    Args:
        task_id: The one task.
        expires: Until when, in UTC, to the second.
        artifacts: Whether its artifacts may be downloaded.
        result: Whether its result is shown.
    """

    task_id: str
    expires: datetime
    artifacts: bool = True
    result: bool = False


def sign(link: PublicLink, key: bytes) -> str:
    """Return the token of a link: base64url of what it says and of an HMAC-SHA-256 over that (RFC 2104, RFC 4648).

    Args:
        link: The link.
        key: The yard's key.
    """
    shown = (_ARTIFACTS if link.artifacts else 0) | (_RESULT if link.result else 0)
    body = _HEAD.pack(_VERSION, shown, int(link.expires.timestamp())) + link.task_id.encode()
    return _encoded(_signature(body, key) + body)


def read(token: str, key: bytes, now: datetime) -> PublicLink:
    """Return what a token lets see.

    Args:
        token: The token.
        key: The yard's key.
        now: This moment.

    Raises:
        UnknownLinkError: It was not signed with that key.
        ExpiredLinkError: Its time is over.
    """
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise UnknownLinkError(_WRONG) from None
    if _encoded(text) != token:
        # The last letter has bits to spare: one link has one text (RFC 4648, section 3.5).
        raise UnknownLinkError(_WRONG)
    signature, body = text[:_SIGNATURE], text[_SIGNATURE:]
    if not hmac.compare_digest(signature, _signature(body, key)):
        raise UnknownLinkError(_WRONG)
    version, shown, expires = _HEAD.unpack_from(body)
    if version != _VERSION:
        raise UnknownLinkError(_WRONG)
    link = PublicLink(
        body[_HEAD.size :].decode(),
        datetime.fromtimestamp(expires, UTC),
        bool(shown & _ARTIFACTS),
        bool(shown & _RESULT),
    )
    if link.expires <= now:
        raise ExpiredLinkError(f"This link was good until {link.expires:%Y-%m-%d %H:%M} UTC. Ask for a new one.")
    return link


def _encoded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _signature(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, hashlib.sha256)[:_SIGNATURE]
