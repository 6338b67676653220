"""A connection to the server for a process that has to be small: the driver alone would treble its memory."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, BinaryIO

CONNECT = 1.0  # seconds
ANSWER = 2.0  # seconds


class RefusedError(Exception):
    """The server answered with an error."""


class Wire:
    """One connection, made when it is needed.

    Args:
        address: ``path``, or ``host`` and ``port``; ``db``, ``username`` and ``password``; ``ssl``, if it is to be
            used, with options named as in the driver.
    """

    def __init__(self, address: Mapping[str, Any]) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._reader: BinaryIO | None = None

    def run(self, script: Mapping[str, str], words: list[Any]) -> Any:
        """Run a script, known to the server or not.

        Args:
            script: Its ``sha`` and its ``text``.
            words: Number of keys, keys, arguments.

        Raises:
            RefusedError: The server will not.
            OSError: The server is away.
        """
        try:
            return self.ask("EVALSHA", script["sha"], *words)
        except RefusedError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            return self.ask("EVAL", script["text"], *words)

    def ask(self, *words: Any) -> Any:
        """Send a command, and return the answer; errors as for :meth:`run`."""
        try:
            if self._socket is None:
                self._connect()
            return self._exchange(words)
        except OSError:
            self.close()
            raise
        except ValueError as error:
            self.close()
            raise OSError("this is no answer") from error

    def close(self) -> None:
        """Drop the connection."""
        if self._socket is not None:
            self._socket.close()
        if self._reader is not None:
            self._reader.close()
        self._socket = self._reader = None

    def _connect(self) -> None:
        where = self._address
        if where.get("path"):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(CONNECT)
            self._socket.connect(where["path"])
        else:
            self._socket = socket.create_connection((where["host"], where["port"]), CONNECT)
            if where.get("ssl") is not None:
                self._socket = secured(self._socket, where["host"], where["ssl"])
        self._socket.settimeout(ANSWER)
        self._reader = self._socket.makefile("rb")
        try:
            if where.get("password"):
                user = [where["username"]] if where.get("username") else []
                self._exchange(("AUTH", *user, where["password"]))
            if where.get("db"):
                self._exchange(("SELECT", where["db"]))
        except RefusedError as error:
            self.close()
            raise OSError(str(error)) from error

    def _exchange(self, words: tuple[Any, ...]) -> Any:
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        if self._socket is None:
            raise OSError("not connected")
        self._socket.sendall(b"".join(parts))
        return self._answer()

    def _answer(self) -> Any:
        """Read one answer, in version 2 of the protocol (RESP2)."""
        line = self._reader.readline() if self._reader is not None else b""
        kind, rest = line[:1], line[1:-2]
        if not line.endswith(b"\r\n"):
            raise OSError("the connection was closed")
        if kind == b"-":
            raise RefusedError(rest.decode(errors="replace"))
        if kind == b"+":
            return rest
        number = int(rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"*":
            return [self._answer() for _ in range(number)]
        data = self._reader.read(number + 2) if self._reader is not None else b""
        if len(data) < number + 2:
            raise OSError("the connection was closed")
        return data[:-2]


def secured(plain: socket.socket, host: str, options: Mapping[str, Any]) -> socket.socket:
    """Return a connection under TLS; options are named and meant as in the driver."""
    import ssl  # noqa: PLC0415 - 3 MB that most do without

    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"))
    demands = options.get("ssl_cert_reqs", "required")
    if demands in ("none", None, ssl.CERT_NONE) or options.get("ssl_check_hostname") is False:
        context.check_hostname = False
    if demands in ("none", None, ssl.CERT_NONE):
        context.verify_mode = ssl.CERT_NONE
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password"))
    return context.wrap_socket(plain, server_hostname=host)
