"""What ``module:attribute`` may be, and what is said when it is something else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from backyard import Backyard
from backyard.cli.target import load_target
from backyard.core.errors import DefinitionError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULE = """
from celery import Celery
from fastapi import FastAPI
from backyard import Backyard

yard = Backyard("targets")
bare = FastAPI()
app = FastAPI()
app.state.backyard = yard
celery = Celery("other")
number = 7

class box:
    yard = yard
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "targets.py").write_text(MODULE)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.mark.parametrize("name", ["targets:yard", "targets:box.yard"])
def test_a_yard(name: str) -> None:
    target = load_target(name)
    assert isinstance(target.yard, Backyard)
    assert target.app is None


def test_a_fastapi_app_with_a_yard() -> None:
    target = load_target("targets:app")
    assert target.app is not None
    assert target.yard is target.app.state.backyard


@pytest.mark.parametrize("to_serve", [True, False])
def test_an_app_gets_the_routes_of_its_yard_where_it_is_to_be_served(folder: Path, *, to_serve: bool) -> None:
    (folder / "mounted.py").write_text("from targets import *\napp = FastAPI()\nyard.mount(app, '/jobs')\n")
    target = load_target("mounted:app", to_serve=to_serve)
    assert target.app is not None
    assert ("/jobs/health" in {getattr(route, "path", "") for route in target.app.routes}) is to_serve
    # Links to artifacts need it everywhere.
    assert target.yard.prefix == "/jobs"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("targets", "'targets' is not of the form module:attribute. Write for example targets:app."),
        ("targets.py", "'targets.py' is not of the form module:attribute. Write for example targets:app."),
        ("./shop/targets.py:app", "Write for example targets:app."),
        (":app", "is not of the form"),
        ("targets:", "is not of the form"),
        ("target:app", "There is no module 'target' in {folder}, and none is installed. Did you mean targets:app?"),
        ("elsewhere.tasks:app", "There is no module 'elsewhere' in {folder}, and none is installed."),
        ("targets:yrd", "The module targets has no attribute 'yrd'. Did you mean targets:yard?"),
        ("targets:xyz", "has no attribute 'xyz'. Did you mean targets:yard or targets:bare or targets:app?"),
        ("targets:bare", "The FastAPI app targets:bare has no yard mounted. Call yard.mount(app) where it is made."),
        (
            "targets:number",
            "targets:number is of type int; a Backyard or a FastAPI app is needed. Did you mean targets:yard",
        ),
        ("targets:celery", "targets:celery is of type Celery; a Backyard"),
    ],
)
def test_anything_else_is_explained(name: str, message: str, folder: Path) -> None:
    with pytest.raises(TargetError) as refusal:
        load_target(name)
    assert message.format(folder=folder) in refusal.value.message
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all' ({file}, line 1)."),
        ("x = 1\nx.y", "AttributeError: 'int' object has no attribute 'y' ({file}, line 2)."),
        ("\n\ndef f(:\n", "SyntaxError: invalid syntax ({file}, line 3)."),
        ("import json\njson.loads('{')", "{file}, line 2)."),
        ("import httpx2\nhttpx2.Client(timeout=object(), nonsense=1)", "{file}, line 2)."),
    ],
)
def test_a_module_that_fails_is_named_with_the_line(text: str, message: str, folder: Path) -> None:
    file = folder / "failing.py"
    file.write_text(text)
    with pytest.raises(TargetError) as refusal:
        load_target("failing:yard")
    assert refusal.value.message.startswith("Importing failing failed with ")
    assert message.format(file=file) in refusal.value.message


def test_our_own_errors_speak_for_themselves(folder: Path) -> None:
    (folder / "wrong.py").write_text("from backyard import Backyard\nBackyard('no name!')")
    with pytest.raises(DefinitionError, match="no name!"):
        load_target("wrong:yard")
