"""The mail server as a URL says it."""

from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

from backyard.settings import LOOPBACK

Security = Literal["none", "starttls", "tls"]
#: What each scheme means, and the port it has unless the URL says otherwise (RFC 6409, RFC 8314).
SCHEMES: dict[str, tuple[Security, int]] = {
    "smtp": ("none", 25),
    "smtp+starttls": ("starttls", 587),
    "smtps": ("tls", 465),
}


@dataclass(frozen=True)
class Server:
    """A mail server and how to talk to it.

    Args:
        host: Name or address.
        port: TCP port.
        security: Plain, TLS after STARTTLS, or TLS from the first byte.
        user: User name, if the server wants one.
        password: Its password.
    """

    host: str
    port: int
    security: Security
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``smtp://``, ``smtp+starttls://`` or ``smtps://``, with ``user:password@`` if the server wants it.

        Raises:
            ValueError: The URL cannot be used; the message does not repeat it, since it may hold a password.
        """
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise ValueError(f"a mail server is written as {', '.join(f'{scheme}://host' for scheme in SCHEMES)}")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("the URL of a mail server ends after its host and port")
        security, usual_port = SCHEMES[parts.scheme]
        try:
            port = parts.port or usual_port
        except ValueError:
            raise ValueError("the port of the mail server is not a number from 1 to 65535") from None
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password is not None else None
        if user and security == "none" and parts.hostname not in LOOPBACK:
            raise ValueError("the password would travel in the clear: use smtp+starttls:// or smtps://")
        if not f"{user}{password}".isascii():
            raise ValueError(
                "user and password may hold ASCII characters alone, which is what SMTP's login is sure to carry"
            )
        return cls(parts.hostname, port, security, user, password)


def check_public_url(url: str) -> str:
    """Check a server named in a task's input, which is recorded and shown and must not hold a secret.

    Raises:
        ValueError: The URL cannot be used, or names a user or password.
    """
    server = Server.from_url(url)
    if server.user or server.password or "@" in url:
        raise ValueError("give no user or password here, it would be recorded: set BACKYARD_SMTP_URL instead")
    return url
