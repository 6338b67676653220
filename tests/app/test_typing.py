"""What a type checker sees: submits typed like the functions, results of their types."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PROGRAM = """\
from backyard import Backyard, Context

yard = Backyard("typed")


@yard.task
def plain(a: int, b: str = "x") -> list[int]:
    return [a]


@yard.task(queue="q", retries=2)
def with_context(ctx: Context, a: int) -> str:
    return str(a)


@yard.task
async def later(ctx: Context, a: float) -> bytes:
    return b""


@yard.task()
async def later_plain(*, a: float) -> bool:
    return True


async def main() -> None:
    reveal_type((await plain.submit(1)).result)
    reveal_type(plain.submit_sync(1, b="y").result_sync())
    reveal_type(with_context.submit_sync(1).result_sync())
    reveal_type(await (await later.submit(1.5)).result(timeout=3))
    reveal_type(later_plain.submit_sync(a=1).result_sync())
    reveal_type(plain.with_options(delay=3).submit_sync(1).result_sync())
    await plain.submit("x")  # wrong: argument type
    await plain.submit()  # wrong: missing
    await plain.submit(1, c=3)  # wrong: unknown name
    with_context.submit_sync("x")  # wrong: argument type
    later.submit_sync(a=None)  # wrong: argument type
    text: str = plain.submit_sync(1).result_sync()  # wrong: result type
"""


def test_mypy_sees_what_is_right_and_wrong(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file=", str(program)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    rows = [re.fullmatch(r"program\.py:(\d+): (\w+): (.*)", line) for line in done.stdout.splitlines()]
    lines = PROGRAM.splitlines()
    shown = [row[3] for row in rows if row and row[2] == "note" and "Revealed" in row[3]]
    assert shown == [
        'Revealed type is "def (timeout: float | None =) -> typing.Coroutine[Any, Any, list[int]]"',
        'Revealed type is "list[int]"',
        'Revealed type is "str"',
        'Revealed type is "bytes"',
        'Revealed type is "bool"',
        'Revealed type is "list[int]"',
    ], done.stdout
    wrong = {int(row[1]) for row in rows if row and row[2] == "error"}
    assert wrong == {number for number, line in enumerate(lines, 1) if "# wrong" in line}, done.stdout
