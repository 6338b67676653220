"""Artifacts to look at: pictures, tables, texts; the others to be downloaded."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backyard.core.errors import BackyardError
from backyard.core.models import Artifact, TaskView
from backyard.desk.links import linked

if TYPE_CHECKING:
    from backyard.app import Backyard

#: Artifacts that are shown with what is in them; the others by name.
_SHOWN = 20
#: Bytes that are read of one.
_READ = 32_768
_ROWS, _COLUMNS, _CELL = 20, 12, 200
_CHARACTERS = 4_000
_PICTURES = {"image/gif", "image/jpeg", "image/png", "image/webp"}
_TEXTS = {"application/json", "text/markdown", "text/plain"}


@dataclass(frozen=True, slots=True)
class Shown:
    """An artifact with what is in it.

    Args:
        artifact: The artifact.
        kind: ``picture``, ``pdf``, ``table``, ``text``, or ``other``.
        rows: The first rows of a table, its header first.
        text: The beginning of a text, or why it cannot be shown.
        cut: Whether there is more.
    """

    artifact: Artifact
    kind: str
    rows: Sequence[Sequence[str]] = ()
    text: str = ""
    cut: bool = False


async def artifacts_shown(yard: Backyard, view: TaskView, base: str) -> list[Shown]:
    """Return a task's artifacts with what is in them.

    Args:
        yard: The yard.
        view: The task.
        base: What the paths of the API begin with.
    """
    saved = linked(view, base).artifacts
    first = await asyncio.gather(*(_shown(yard, view.task_id, one) for one in saved[:_SHOWN]))
    return [*first, *(Shown(one, "other") for one in saved[_SHOWN:])]


async def _shown(yard: Backyard, task_id: str, artifact: Artifact) -> Shown:
    media = artifact.content_type.partition(";")[0].strip().lower()
    if media in _PICTURES:
        return Shown(artifact, "picture")
    if media == "application/pdf":
        return Shown(artifact, "pdf")
    if media != "text/csv" and media not in _TEXTS:
        return Shown(artifact, "other")
    try:
        pieces = await yard.files.read_artifact(task_id, artifact.name, 0, _READ)
        data = b"".join([piece async for piece in pieces])
    except BackyardError as error:
        return Shown(artifact, "text", text=error.message)
    more = artifact.size > len(data)
    text = data.decode("utf-8", "ignore" if more else "replace").removeprefix("\ufeff")
    if media == "text/csv":
        rows, cut = table_of(text, more=more)
        return Shown(artifact, "table", rows, cut=cut)
    return Shown(artifact, "text", text=text[:_CHARACTERS], cut=more or len(text) > _CHARACTERS)


def table_of(text: str, *, more: bool) -> tuple[list[list[str]], bool]:
    """Return the first rows of a CSV text, and whether something is left out.

    Args:
        text: The text, or its beginning.
        more: Whether it goes on; its last line may be cut then.
    """
    if more:
        text = text[: text.rfind("\n") + 1] or text
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:4_000], ",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows: list[list[str]] = []
    cut = more
    try:
        for row in csv.reader(io.StringIO(text), dialect):
            if len(rows) > _ROWS:
                return rows, True
            cut = cut or len(row) > _COLUMNS
            rows.append([cell[:_CELL] for cell in row[:_COLUMNS]])
    except csv.Error:
        return rows, True
    return rows, cut
