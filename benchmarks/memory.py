"""How much memory does a queued task take on the server, and how much do idle processes hold?"""

from __future__ import annotations

import time
from typing import Any, Final

from benchmarks.contenders import Contender
from benchmarks.look import call
from benchmarks.stage import Stage

#: Length of a text that makes an input of 200 bytes of JSON.
_TEXT: Final = 200 - len('{"text":""}')


def queued(stage: Stage, contender: Contender, number: int) -> dict[str, Any]:
    """Submit many tasks with an input of 200 bytes; returns the server's bytes a task, record and event included."""
    with stage.turn(contender):
        _, port = stage.serve(contender)
        # Afterwards the server holds all scripts, buffers and names.
        call(port, "/tasks/keep/batch", [{"text": "x" * _TEXT}] * 100)
        before = stage.client.info("memory")["used_memory"]
        call(port, "/tasks/keep/batch", [{"text": "x" * _TEXT}] * number)
        return {"bytes_a_task": round((stage.client.info("memory")["used_memory"] - before) / number, 1)}


def idle(stage: Stage, contender: Contender, rest: float) -> dict[str, Any]:
    """Let every role do something, and rest; returns MB: proportional set size, and resident set size.

    Args:
        stage: Where.
        contender: Who.
        rest: Seconds of rest before the memory is looked at.
    """
    with stage.turn(contender):
        marks = stage.make_marks(1_000)
        roles = dict(zip(("keeper",), stage.start_companions(contender), strict=False))
        program, port = stage.serve(contender)
        roles |= {"api": program, "worker": stage.start(contender.workers_of_two()[0])}
        stage.run(contender.fill(1_000))
        for _ in range(20):
            call(port, "/tasks/take_order", {"customer": 1, "articles": []})
        while marks.done() < marks.number:
            roles["worker"].check()
            time.sleep(0.05)
        time.sleep(rest)
        found = {role: one.memory() for role, one in roles.items()}
        return {
            **{f"{role}_pss_mb": memory.pss for role, memory in found.items()},
            **{f"{role}_rss_mb": memory.rss for role, memory in found.items()},
        }
