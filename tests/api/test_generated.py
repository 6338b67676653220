"""Requests drawn from the OpenAPI document, fitting and not: never a 5xx, and every answer is a documented one."""

from __future__ import annotations

import functools
import json
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.web import PROBLEM, problem_in

DRAWN = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
#: Texts without the characters that HTTP itself refuses in a path.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
AWKWARD_TEXT = st.sampled_from(
    ["", "null", "-1", "0", "1e309", "NaN", "\x00", "\ufeff", "../..", "a/b", "%", "%zz", "'", '"', "ä", "\U0001f600",
     "9" * 400, "x" * 3_000, "2026-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1-1", "\u0663"]
)  # fmt: skip
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT | AWKWARD_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


class Drawer:
    """Draws values that fit a schema, and now and then one that does not."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def of(self, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
        """Return a strategy for a schema's values."""
        return st.one_of(self.fitting(schema), self.fitting(schema), self.fitting(schema), ANY)

    def fitting(self, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
        if "$ref" in schema:
            found = functools.reduce(lambda at, part: at[part], schema["$ref"][2:].split("/"), self.document)
            return self.fitting(found)
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if "anyOf" in schema:
            return st.one_of([self.fitting(one) for one in schema["anyOf"]])
        kind = schema.get("type")
        if kind == "object" and "properties" in schema:
            required = set(schema.get("required", ()))
            fields = {name: self.of(one) for name, one in schema["properties"].items()}
            return st.fixed_dictionaries(
                {name: one for name, one in fields.items() if name in required},
                optional={name: one for name, one in fields.items() if name not in required},
            )
        if kind == "array":
            return st.lists(self.of(schema.get("items", {})), max_size=4)
        simple: dict[str | None, st.SearchStrategy[Any]] = {
            "string": TEXT | AWKWARD_TEXT,
            "integer": st.integers(),
            "number": st.floats(allow_nan=False, allow_infinity=False),
            "boolean": st.booleans(),
            "null": st.none(),
        }
        return simple.get(kind, ANY)


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.fixture(scope="module")
def document(awkward: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = awkward.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def known(awkward: httpx2.Client) -> str:
    """The id of a task that is there."""
    return str(awkward.post("/tasks/anything", json={"value": 1}, params={"delay": 9e6}).json()["task_id"])


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    # The stream of a waiting task has no end, /files takes no JSON, and one definition has a bug on purpose.
    return [
        (method.upper(), path, operation)
        for path, item in sorted(document["paths"].items())
        for method, operation in sorted(item.items())
        if not path.endswith("/events") and (method, path) != ("post", "/files") and "buggy" not in path
    ]


@st.composite
def requests(draw: st.DrawFn, document: dict[str, Any], known: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw a request; returns what it answers to as well."""
    method, path, operation = draw(st.sampled_from(operations(document)))
    drawer = Drawer(document)
    query: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            value = draw(st.just(known) | TEXT | AWKWARD_TEXT | st.sampled_from(["anything", "ad", "report.send"]))
            path = path.replace(f"{{{parameter['name']}}}", quote(value, safe="") or "x")
        elif draw(st.booleans()):
            value = draw(drawer.of(parameter["schema"]))
            if parameter["in"] == "header":
                headers[parameter["name"]] = as_text(value).encode("ascii", "ignore").decode().strip() or "x"
            else:
                query += [(parameter["name"], as_text(one)) for one in (value if isinstance(value, list) else [value])]
    request = {"method": method, "url": path, "params": query, "headers": headers}
    if "requestBody" in operation:
        body = draw(drawer.of(operation["requestBody"]["content"]["application/json"]["schema"]))
        request["content"] = json.dumps(body).encode()
        headers["content-type"] = "application/json"
    return request, operation


@DRAWN
@given(data=st.data())
def test_no_request_breaks_the_api(
    awkward: httpx2.Client, document: dict[str, Any], known: str, data: st.DataObject
) -> None:
    request, operation = data.draw(requests(document, known))
    if any(character in str(request["headers"]) for character in ("\\x", "\\n", "\\r")):
        return  # no HTTP client sends these
    answer = awkward.request(**request)
    if answer.status_code == 503 and answer.json()["code"] == "history_unavailable":
        problem_in(answer, 503, "history_unavailable")  # the keeper of a busy machine is late
        return
    assert answer.status_code < 500, answer.text
    if answer.status_code in {307, 404, 405} and answer.status_code not in operation["responses"]:
        return  # the drawn text made it another address
    assert str(answer.status_code) in operation["responses"], answer.text
    if answer.status_code >= 400:
        problem_in(answer, answer.status_code, answer.json()["code"])
    else:
        assert answer.headers.get("content-type") != PROBLEM


@DRAWN
@given(body=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_break_the_api(awkward: httpx2.Client, known: str, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    for path in ("/tasks", "/tasks/anything", "/tasks/anything/batch", f"/tasks/{known}/rerun"):
        answer = awkward.post(path, content=body, headers=headers)
        assert answer.status_code in {201, 404, 422}, answer.text
        if answer.status_code != 201:
            problem_in(answer, answer.status_code, answer.json()["code"])


@DRAWN
@given(value=ANY)
def test_any_json_value_is_kept_as_it_is(awkward: httpx2.Client, value: Any) -> None:
    """Four ways in, and the same value on each record."""
    text = json.dumps({"value": value})
    headers = {"content-type": "application/json"}
    first = awkward.post("/tasks/anything", content=text, headers=headers)
    assert first.status_code == 201, first.text
    task_id = first.json()["task_id"]
    by_name = awkward.post("/tasks", content=f'{{"name": "anything", "input": {text}}}', headers=headers).json()
    many = awkward.post("/tasks/anything/batch", content=f"[{text}]", headers=headers).json()["task_ids"][0]
    again = awkward.post(f"/tasks/{task_id}/rerun").json()
    edited = awkward.post(f"/tasks/{task_id}/rerun", content=f'{{"input": {text}}}', headers=headers).json()
    kept = [awkward.get(f"/tasks/{one}").json()["input"] for one in (task_id, many)]
    assert [*kept, first.json()["input"], by_name["input"], again["input"], edited["input"]] == [{"value": value}] * 6
