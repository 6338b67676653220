"""A real receiver of webhooks, which answers as a test tells it to."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: The key that tests sign with, and as the setting has it.
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@dataclass(frozen=True)
class Received:
    """A message that came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def signed_by(self, key: bytes) -> bool:
        """Whether it bears the signature of a key, computed as the specification says."""
        content = self.id.encode() + b"." + self.headers["webhook-timestamp"].encode() + b"." + self.body
        wanted = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        return self.headers["webhook-signature"] == f"v1,{wanted}"


class Receiver:
    """A server that keeps what comes.

    Answers are taken from ``answers``, and are 204 when there are none left; a number is a status, and an event is
    waited for before the answer.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[int | threading.Event] = []
        self.url = ""

    def answer(self) -> int:
        wanted = self.answers.pop(0) if self.answers else 204
        if isinstance(wanted, threading.Event):
            wanted.wait(60)
            return 204
        return wanted


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on loopback for a while."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            status = receiver.answer()
            self.send_response(status)
            if status in (301, 307):
                self.send_header("Location", f"{receiver.url}/elsewhere")
            text = b"" if status == 204 else b"because \x00" + b"x" * 100_000
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # the sender has read enough, or was killed
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        for answer in receiver.answers:
            if isinstance(answer, threading.Event):
                answer.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
