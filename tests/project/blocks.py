"""The parts of the documents that are made from the code. `make fix` runs this file, which writes them anew."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from backyard.core.states import diagram
from backyard.settings import Settings

if __name__ == "__main__":  # run as a program, this folder is on the path and not the one above
    sys.path[0] = str(Path(__file__).parents[1])
    sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.tables import CHARTS, TABLES, Run, last_run

from faults.table import latest
from project.tree import ROOT


def settings_table() -> str:
    """Return every setting as a row of a Markdown table."""
    rows = ["| variable | default | what it sets |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        first, *others = variables(name, field)
        also = f" Also read as {', '.join(f'`{other}`' for other in others)}." if others else ""
        rows.append(f"| `{first}` | {_default(field)} | {field.description}{_bounds(field)}{also} |")
    return "\n".join(rows)


def variables(name: str, field: FieldInfo) -> list[str]:
    """Return the environment variables that set a field, the first one first."""
    if isinstance(field.validation_alias, AliasChoices):
        return [str(choice) for choice in field.validation_alias.choices]
    return [f"BACKYARD_{name.upper()}"]


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value is PydanticUndefined:
        return "unset"
    return f"`{int(value) if isinstance(value, bool) else value}`"


def _bounds(field: FieldInfo) -> str:
    found = {
        name: getattr(one, name) for one in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(one, name)
    }
    low = f"at least {found['ge']}" if "ge" in found else f"more than {found['gt']}" if "gt" in found else ""
    high = f"at most {found['le']}" if "le" in found else ""
    text = ", ".join(part for part in (low, high) if part)
    return f" {text[0].upper()}{text[1:]}." if text else ""


def state_diagram() -> str:
    """Return the table of moves as a Mermaid diagram."""
    return f"```mermaid\n{diagram()}\n```"


def of_benchmarks(table: Callable[[Run], str]) -> Callable[[], str]:
    """Return what makes a table of the figures of the last run."""
    return lambda: table(last_run())


#: What is generated: the document and the block's name, and what makes it.
BLOCKS: Mapping[tuple[str, str], Callable[[], str]] = {
    ("README.md", "faults"): latest,
    ("README.md", "settings"): settings_table,
    ("ARCHITECTURE.md", "states"): state_diagram,
    **{("docs/benchmarks.md", name): of_benchmarks(table) for name, table in TABLES.items()},
}
#: Files that are generated as a whole.
FILES: Mapping[str, Callable[[], str]] = {
    f"docs/benchmarks/{name}": of_benchmarks(drawn) for name, drawn in CHARTS.items()
}


def with_block(text: str, name: str, content: str) -> str:
    """Return a document with the block between its two markers replaced.

    Raises:
        LookupError: The document has no such markers.
    """
    begin, end = f"<!-- {name}: made from the code by `make fix` -->", f"<!-- {name}: end -->"
    new, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{content}\n{end}", text, flags=re.DOTALL
    )
    if count != 1:
        raise LookupError(f"{count} blocks '{name}' were found; one is needed, between {begin} and {end}")
    return new


def main() -> None:
    """Write all blocks and files anew."""
    for (document, name), content in BLOCKS.items():
        path = ROOT / document
        path.write_text(with_block(path.read_text(), name, content()))
    for name, content in FILES.items():
        (ROOT / name).write_text(content())


if __name__ == "__main__":
    main()
