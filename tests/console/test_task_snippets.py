from __future__ import annotations

import ast
import json
import shlex
import shutil
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest

from backyard import Backyard
from backyard.console.task_snippets import Snippets, snippets_of
from backyard.core.models import TaskView
from backyard.core.secrets import MASK
from backyard.settings import Settings

API = "https://example.org/jobs"
GIVEN = {"region": 'it\'s "north"', "rows": [1, 2.5, None, True], "more": {"ä": "a\nb"}}


def report(region: str, rows: list[Any], more: dict[str, str]) -> None:
    """Make a report."""


@pytest.fixture
def yard() -> Backyard:
    yard = Backyard("snippets", settings=Settings())
    yard.task(priority="low")(report)
    return yard


def snippets(yard: Backyard | None, **changes: Any) -> Snippets:
    known: dict[str, Any] = {
        "task_id": "t", "name": "report", "state": "SUCCESS", "progress": None, "queue": "default", "priority": "high",
        "attempt": 1, "date_created": datetime.now(UTC), "input": GIVEN, "tags": ["a b", "c"],
    }  # fmt: skip
    definition = None if yard is None else yard.definitions["report"]
    return snippets_of(TaskView(**{**known, **changes}), definition, API)


def code(found: Snippets, label: str) -> str:
    return next(one.code for one in found.pieces if one.label == label)


def test_curl_sends_the_same(yard: Backyard) -> None:
    words = shlex.split(code(snippets(yard), "curl").replace("\\\n", " "))

    assert words[:4] == ["curl", "-X", "POST", f"{API}/tasks/report?tags=a+b&tags=c&priority=high"]
    assert words[4:6] == ["-H", "Content-Type: application/json"]
    assert json.loads(words[7]) == GIVEN


def test_python_sends_the_same(yard: Backyard) -> None:
    sent: dict[str, Any] = {}
    tree = ast.parse(code(snippets(yard), "Python"))
    call = next(
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "httpx.post"
    )
    sent = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}

    assert ast.literal_eval(call.args[0]) == f"{API}/tasks/report"
    assert sent == {"params": {"tags": ["a b", "c"], "priority": "high"}, "json": GIVEN}


def test_python_of_the_app_calls_its_own_function(yard: Backyard) -> None:
    text = code(snippets(yard), "Python, in your app")
    tree = ast.parse(text)
    call = next(
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("submit")
    )

    assert f"from {__name__} import report" in text
    assert ast.unparse(call.func) == "report.with_options(tags=['a b', 'c'], priority='high').submit"
    assert {word.arg: ast.literal_eval(word.value) for word in call.keywords} == GIVEN


@pytest.mark.skipif(
    shutil.which("node") is None, reason="Whether it is JavaScript is asked of Node, which is not here."
)
def test_javascript_sends_the_same(yard: Backyard) -> None:
    told = (
        "globalThis.fetch = async (url, sent) => { console.log(JSON.stringify([url, sent])); return { json() {} }; };"
    )
    script = f"{told}\n(async () => {{\n{code(snippets(yard), 'JavaScript')}\n}})();"

    answer = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)

    url, sent = json.loads(answer.stdout)
    assert url == f"{API}/tasks/report?tags=a+b&tags=c&priority=high"
    assert (sent["method"], sent["headers"]) == ("POST", {"Content-Type": "application/json"})
    assert json.loads(sent["body"]) == GIVEN


def test_arguments_by_position_get_their_names(yard: Backyard) -> None:
    found = snippets(yard, input={"args": ["north"], "kwargs": {"rows": []}}, tags=[], priority="low")

    assert shlex.split(code(found, "curl").replace("\\\n", " "))[7] == '{"region": "north", "rows": []}'
    assert f"'{API}/tasks/report'" not in code(found, "curl")
    assert "params" not in code(found, "Python")
    assert "with_options" not in code(found, "Python, in your app")


def test_masked_secrets_are_told_of(yard: Backyard) -> None:
    assert snippets(yard, input={**GIVEN, "region": MASK}).masked
    assert not snippets(yard).masked


def test_a_long_input_comes_from_a_file(yard: Backyard) -> None:
    found = snippets(yard, input={**GIVEN, "region": "x" * 20_000})

    assert found.from_file == "input.json"
    assert [one.label for one in found.pieces] == ["curl"]
    assert "@input.json" in found.pieces[0].code


def test_a_definition_that_is_not_known_has_no_function() -> None:
    assert [one.label for one in snippets(None).pieces] == ["curl", "Python", "JavaScript"]
