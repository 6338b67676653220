from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from project.tree import ROOT, own_files

LONGEST_MODULE = 400
LONGEST_FUNCTION = 40

Function = ast.FunctionDef | ast.AsyncFunctionDef

MODULES = [str(path.relative_to(ROOT)) for path in own_files(".py")]


def functions(node: ast.AST) -> Iterator[Function]:
    for inner in ast.walk(node):
        if isinstance(inner, Function):
            yield inner


def lines_of(node: Function | ast.stmt) -> set[int]:
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def length(function: Function, source: list[str]) -> int:
    """Count lines of code: no docstring, comment or empty line, and functions inside count for themselves."""
    lines = lines_of(function)
    if ast.get_docstring(function) is not None:
        lines -= lines_of(function.body[0])
    for inner in functions(function):
        if inner is not function:
            lines -= lines_of(inner)
    return sum(1 for number in lines if source[number - 1].strip() and not source[number - 1].strip().startswith("#"))


def test_the_rulers_measure() -> None:
    source = 'def f():\n    """Two\n    lines."""\n    # why\n\n    def g():\n        return 1\n    return g\n'
    outer = next(functions(ast.parse(source)))
    assert length(outer, source.splitlines()) == 2
    assert "src/backyard/app.py" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_modules_and_functions_are_short(name: str) -> None:
    source = Path(ROOT, name).read_text().splitlines()
    tree = ast.parse("\n".join(source))
    lines = len(source)
    assert lines <= LONGEST_MODULE, f"{name} has {lines} lines: make it two modules"
    long = {one.name: length(one, source) for one in functions(tree) if length(one, source) > LONGEST_FUNCTION}
    assert long == {}, f"{name} has functions of more than {LONGEST_FUNCTION} lines: {long}"


def test_every_folder_of_the_package_is_shown_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = [path.parent.name for path in (ROOT / "src/backyard").glob("*/__init__.py")]
    assert len(rooms) > 5
    missing = [room for room in rooms if f"{room}/" not in text]
    assert missing == []
