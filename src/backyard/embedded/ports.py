"""TCP ports: a free one for the server, and whether a wanted one is free."""

from __future__ import annotations

import errno
import secrets
import socket

from backyard.core.errors import PortInUseError, ServerError, SettingsError

LOOPBACK = "127.0.0.1"
# Below the ports that systems give to outgoing connections (32768 on Linux, 49152 on macOS): otherwise a client that
# reconnects while the server restarts may be given the server's own port, and keep it from coming back.
_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES = 200


def free_port(wanted: int | None = None) -> int:
    """Choose a loopback port that nobody uses, the wanted one if it is free.

    Raises:
        ServerError: None of many is free.
    """
    if wanted is not None and _is_free(wanted):
        return wanted
    for _ in range(_TRIES):
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        if _is_free(port):
            return port
    raise ServerError(f"No free port between {_LOWEST} and {_HIGHEST} on {LOOPBACK} was found.")


def require_free(host: str, port: int, option: str) -> None:
    """Make sure that one may listen on a port.

    Args:
        host: Address to listen on.
        port: The port.
        option: How to choose another, for the message: ``--port or BACKYARD_PORT``.

    Raises:
        PortInUseError: Another program listens there.
        SettingsError: The address is not one of this machine, or the port needs more rights.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in addresses:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"Port {port} on {host} is in use by another program. Stop it, or choose another port with {option}."
            ) from None
        raise SettingsError(f"Cannot listen on {host}, port {port}: {error.strerror or error}. Use {option}.") from None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
