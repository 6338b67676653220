"""The client's own ledger: which submits were accepted, refused, or unsure."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx2

Answer = Literal["accepted", "refused", "unsure"]
#: How the API says of a 503 that nothing of the submit is left: it is refused, and not unsure.
REFUSED = "left nothing behind"


@dataclass(slots=True)
class Submit:
    """One submit.

    Args:
        task_id: The id, made before sending.
        name: The definition.
        answer: What the client knows of it.
        status: The HTTP status; 0 where there was no answer.
        took: Seconds until the answer.
        detail: What the answer said, where it was no success.
        retry_after: The header's seconds.
    """

    task_id: str
    name: str
    answer: Answer
    status: int
    took: float
    detail: str = ""
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """A submit to be made.

    Args:
        name: The definition.
        payload: Its input.
        options: What goes into the query beside it.
    """

    name: str
    payload: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


class Client:
    """Submits over HTTP, from any number of threads.

    Args:
        url: Where the API is.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.submits: list[Submit] = []
        self._lock = threading.Lock()
        self._http = httpx2.Client(base_url=url, timeout=20, trust_env=False)

    def submit(self, name: str, payload: dict[str, Any] | None = None, **options: Any) -> Submit:
        """Submit once, whatever comes of it.

        Args:
            name: The definition.
            payload: Its input.
            options: ``delay``, ``priority``, ``headers`` and so on; ``task_id=None`` leaves the id to the API.
        """
        headers = options.pop("headers", {})
        query = {"task_id": f"f{uuid.uuid4().hex}", **options}
        if query["task_id"] is None:
            del query["task_id"]
        return self._send(name, payload, query, headers)

    def _send(
        self, name: str, payload: dict[str, Any] | None, query: dict[str, Any], headers: dict[str, str]
    ) -> Submit:
        begun, task_id = time.monotonic(), query.get("task_id", "unknown")
        try:
            answer = self._http.post(f"/tasks/{name}", json=payload or {}, params=query, headers=headers)
        except httpx2.ConnectError as error:
            made = Submit(task_id, name, "refused", 0, time.monotonic() - begun, repr(error))
        except httpx2.HTTPError as error:
            made = Submit(task_id, name, "unsure", 0, time.monotonic() - begun, repr(error))
        else:
            made = _read(task_id, name, answer, time.monotonic() - begun)
        with self._lock:
            self.submits.append(made)
        return made

    def submit_all(
        self, jobs: Iterable[Job], threads: int = 4, after: Callable[[Submit], None] | None = None
    ) -> list[Submit]:
        """Submit many from a few threads; one that is told to wait does wait before its next submit.

        Args:
            jobs: What to submit.
            threads: How many at once.
            after: Called after each, to slow down, say.
        """

        def one(job: Job) -> Submit:
            made = self.submit(job.name, job.payload, **job.options)
            if made.answer != "accepted":
                time.sleep(made.retry_after or 0.5)
            if after is not None:
                after(made)
            return made

        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, jobs))

    def call(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Ask the API for anything else."""
        return self._http.request(method, path, **{"timeout": 90.0, **more})

    def adopt(self, task_id: str, name: str) -> None:
        """Note a task that was submitted by another way, and accepted."""
        with self._lock:
            self.submits.append(Submit(task_id, name, "accepted", 201, 0.0))

    def settled(self) -> dict[str, Submit]:
        """Return each task with the best that is known of it: a repeated submit may have made an unsure one certain."""
        known: dict[str, Submit] = {}
        for made in self.submits:
            before = known.get(made.task_id)
            if before is None or _RANK[made.answer] > _RANK[before.answer]:
                known[made.task_id] = made
        return known

    def ids(self, answer: Answer) -> list[str]:
        """Return the tasks of which a thing is known."""
        return [task_id for task_id, made in self.settled().items() if made.answer == answer]

    def counts(self) -> Counter[str]:
        """Count the tasks by what is known of them."""
        return Counter(made.answer for made in self.settled().values())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


_RANK = {"refused": 0, "unsure": 1, "accepted": 2}


def _read(task_id: str, name: str, answer: httpx2.Response, took: float) -> Submit:
    if answer.status_code in (200, 201):
        return Submit(str(answer.json()["task_id"]), name, "accepted", answer.status_code, took)
    wait = float(answer.headers.get("retry-after", 0))
    sure = answer.status_code < 500 or REFUSED in answer.text
    return Submit(task_id, name, "refused" if sure else "unsure", answer.status_code, took, answer.text, wait)
