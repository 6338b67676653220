"""Ask a server who it is, without a client library: for the time before there is a client."""

from __future__ import annotations

import socket


def ask_server(port: int, timeout: float) -> dict[str, str] | None:
    """Ask the Redis-compatible server on a loopback port about itself.

    Args:
        port: TCP port on 127.0.0.1.
        timeout: Seconds to wait for each part of the answer.

    Returns:
        The ``server`` section of its INFO, with ``state`` either ``ready`` or why it is not; None when nothing that
        speaks the protocol answers.

    Raises:
        TimeoutError: Something listens there and does not answer in time.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
            connection.sendall(b"PING\r\nINFO server\r\n")
            with connection.makefile("rb") as answer:
                pong = answer.readline(1_000).decode(errors="replace").strip()
                size = answer.readline(1_000)
                if not size.startswith(b"$"):
                    return None
                text = answer.read(int(size[1:])).decode(errors="replace")
    except TimeoutError:
        raise
    except (OSError, ValueError):
        return None
    rows = (line.partition(":") for line in text.splitlines() if ":" in line)
    state = "ready" if pong == "+PONG" else pong.removeprefix("-")
    return {key: value for key, _, value in rows} | {"state": state}
