from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from backyard.cli import commands
from backyard.console.navigation import MENU
from backyard.core.task_query import KEYS
from backyard.settings import Settings
from project.blocks import BLOCKS, FILES, variables, with_block
from project.tree import ROOT, own_files

DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/benchmarks.md", "docs/console.md"]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def shell_lines(text: str) -> list[str]:
    """Return the commands in a document: shell blocks, and inline code that begins with one of our programs."""
    blocks = re.findall(r"^```sh.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return lines + re.findall(r"`((?:make|backyard) [^`]+)`", text)


@pytest.mark.parametrize(("document", "name"), sorted(BLOCKS))
def test_generated_blocks_are_current(document: str, name: str) -> None:
    text = (ROOT / document).read_text()
    assert with_block(text, name, BLOCKS[document, name]()) == text, f"run `make fix` to renew {document}"


@pytest.mark.parametrize("name", sorted(FILES))
def test_generated_files_are_current(name: str) -> None:
    assert (ROOT / name).read_text() == FILES[name](), f"run `make fix` to renew {name}"


def test_every_setting_is_in_the_table() -> None:
    text = (ROOT / "README.md").read_text()
    names = [name for field, about in Settings.model_fields.items() for name in variables(field, about)]
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in text] == []
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_variables_that_documents_and_containers_name_exist() -> None:
    known = {name for field, about in Settings.model_fields.items() for name in variables(field, about)}
    texts = [(ROOT / name).read_text() for name in [*DOCUMENTS, "Dockerfile", "compose.yaml"]]
    named = set(re.findall(r"\bBACKYARD_[A-Z_]+\b", "\n".join(texts)))
    assert len(named) > 10
    assert named - known == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_documents_exist(document: str) -> None:
    for line in shell_lines((ROOT / document).read_text()):
        program, *words = shlex.split(line)
        if program == "make":
            targets = [word for word in words if "=" not in word]
            assert set(targets) <= TARGETS, line
        elif program == "backyard":
            check_command(line, words)


def check_command(line: str, words: list[str]) -> None:
    command = commands.commands.get(words[0])
    assert command is not None, line
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, line


def test_options_in_the_table_of_parts_exist() -> None:
    rows = re.findall(r"^\| `backyard (\w+).*?` \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows} == set(commands.commands) - {"resume", "version"}
    for name, about in rows:
        check_command(about, [name, *re.findall(r"`(--[a-z-]+)", about)])


def test_containers_start_roles_that_exist() -> None:
    roles = re.findall(r'^    command: \["(\w+)"', (ROOT / "compose.yaml").read_text(), re.MULTILINE)
    assert sorted(roles) == ["api", "flower", "keeper", "worker"]
    assert all(isinstance(commands.commands[role], click.Command) for role in roles)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        name, _, heading = target.partition("#")
        if "://" in target:
            continue
        place = (ROOT / document).parent.joinpath(name) if name else ROOT / document
        assert place.is_file(), target
        assert not heading or heading in headings_of(place.read_text()), target


def headings_of(text: str) -> set[str]:
    """Return the anchors of a document's headings."""
    return {
        re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-")
        for one in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


def test_documents_name_files_that_exist() -> None:
    sources = {str(path.relative_to(ROOT)) for path in own_files()}
    for document in DOCUMENTS:
        for name in re.findall(r"`((?:\w+/)+[\w.]+\.\w+)`", (ROOT / document).read_text()):
            assert name in sources or str(Path("src/backyard", name)) in sources, f"{document} names {name}"


def test_the_consoles_document_goes_through_its_pages_in_the_order_of_the_menu() -> None:
    text = (ROOT / "docs/console.md").read_text()
    rows = re.findall(r"^\| ([A-Z][a-z ]+) \| `(/[a-z-]*)` \| \S", text, re.MULTILINE)
    assert rows == [(row.label, row.path) for group in MENU for row in group]


def test_the_consoles_document_has_every_key_of_the_filter() -> None:
    text = (ROOT / "docs/console.md").read_text()
    assert re.findall(r"^\| `([a-z_]+):` \| ", text, re.MULTILINE) == list(KEYS)
