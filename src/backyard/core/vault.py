"""The vault: seals secrets with the yard's keys, and opens them.

AES-SIV (RFC 5297), which is deterministic: the same secret in the same place of the same definition is always the same
text. That is on purpose. ``unique``, the fingerprint of an Idempotency-Key and the digest of a batch compare encoded
inputs, and with a nonce no two would be alike. Whoever reads the server's memory sees by it which tasks of a definition
have the same secret in the same field, and about how long it is; nothing else, for the place is authenticated with the
value, so that a sealed value fits nowhere else.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backyard.core.secrets import SEALED

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

#: Bytes of a key of AES-256-SIV, which is two keys of AES-256.
KEY_SIZE = 64
ID_SIZE = 4


class ClosedError(ValueError):
    """A sealed value that no key opens; the text says which key it was sealed with."""


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    cipher: AESSIV


class Vault:
    """Keys: the first one seals, and each of them opens.

    Args:
        keys: Long random texts, as the setting ``secret_keys`` has them; at least one.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [_derived(key) for key in keys]

    def __repr__(self) -> str:
        return f"<vault of the keys {', '.join(key.name for key in self._keys)}>"

    def seal(self, text: bytes, place: str) -> str:
        """Seal a text with the first key.

        Args:
            text: What nobody is to see.
            place: Where it stands; it opens nowhere else.
        """
        key = self._keys[0]
        sealed = base64.urlsafe_b64encode(key.cipher.encrypt(text, [place.encode()])).rstrip(b"=").decode()
        return f"sealed:1:{key.name}:{sealed}"

    def open(self, sealed: str, place: str) -> bytes:
        """Open a sealed text.

        Args:
            sealed: What :meth:`seal` returned.
            place: Where it stands.

        Raises:
            ClosedError: No key opens it, or it was sealed for another place.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as in _derived

        found = SEALED.fullmatch(sealed)
        name, text = found.groups() if found else ("", "")
        for key in self._keys:
            if key.name == name:
                try:
                    return key.cipher.decrypt(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), [place.encode()])
                except (InvalidTag, ValueError, binascii.Error):
                    raise ClosedError(
                        f"it was sealed with the key {name} for another field, or it was changed since"
                    ) from None
        raise ClosedError(f"it was sealed with the key {name}, which is not among BACKYARD_SECRET_KEYS")


def _derived(text: str) -> _Key:
    """Make a key of a long random text, and its name, which gives nothing away of it (HKDF, RFC 5869)."""
    # Most yards have no keys, and the library takes 7 MB of each of their processes.
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    secret = text.encode()
    name = HKDF(SHA256(), ID_SIZE, salt=None, info=b"backyard secrets: name of the key").derive(secret)
    key = HKDF(SHA256(), KEY_SIZE, salt=None, info=b"backyard secrets: AES-SIV").derive(secret)
    return _Key(name.hex(), AESSIV(key))
