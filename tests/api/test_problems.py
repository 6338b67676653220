"""The one error shape, pinned: every error that leaves the API, in one table."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from support.processes import Api
from support.web import problem_in

ROWS: list[tuple[str, str, dict[str, Any], int, str, str]] = [
    ("GET", "/nowhere", {}, 404, "not_found", "There is nothing at this address"),
    ("GET", "/tasks/nobody", {}, 404, "unknown_task", "No such task"),
    ("POST", "/tasks/nobody", {}, 404, "unknown_definition", "No such definition"),
    ("GET", "/definitions/nobody", {}, 404, "unknown_definition", "No such definition"),
    ("GET", "/files/nobody", {}, 404, "unknown_file", "No such file"),
    ("GET", "/tasks/nobody/artifacts", {}, 404, "unknown_task", "No such task"),
    ("GET", "/tasks/nobody/artifacts/x", {}, 404, "unknown_artifact", "No such artifact"),
    ("PUT", "/tasks", {}, 405, "method_not_allowed", "This address does not take that method"),
    ("DELETE", "/health", {}, 405, "method_not_allowed", "This address does not take that method"),
    ("POST", "/tasks/anything", {"json": {"value": "x" * 2_000_000}}, 413, "too_large", "The body is too large"),
    ("POST", "/tasks/anything", {"data": {"value": 1}}, 415, "wrong_content_type", "The body does not say"),
    ("POST", "/tasks/report_send", {"json": {"pages": "x"}}, 422, "invalid_input", "The input is not valid"),
    ("GET", "/tasks?limit=0", {}, 422, "invalid_request", "The request is not valid"),
    ("GET", "/tasks/nobody?wait=x", {}, 422, "invalid_request", "The request is not valid"),
    ("POST", "/files", {"json": {}}, 422, "invalid_input", "The input is not valid"),
    ("POST", "/tasks/buggy", {"json": {"number": 1}}, 500, "internal", "Something went wrong"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]} {row[3]}")
def test_every_error_has_the_one_shape(
    awkward: httpx2.Client, row: tuple[str, str, dict[str, Any], int, str, str]
) -> None:
    method, path, content, status, code, title = row
    body = problem_in(awkward.request(method, path, **content), status, code)
    assert body["title"].startswith(title)
    assert ("errors" in body) == (code == "invalid_request" or path == "/tasks/report_send")


def test_a_wrong_parameter_is_named(awkward: httpx2.Client) -> None:
    body = problem_in(awkward.get("/tasks?limit=0&state=GONE"), 422, "invalid_request")
    assert [row["location"] for row in body["errors"]] == [["query", "state", 0], ["query", "limit"]]
    assert body["detail"].startswith("query.state.0: ")


def test_a_wrong_method_is_told_the_right_ones(awkward: httpx2.Client) -> None:
    assert awkward.put("/health").headers["allow"] == "GET"


def test_a_bug_tells_the_log_and_not_the_client(awkward_api: Api, awkward: httpx2.Client) -> None:
    body = problem_in(awkward.post("/tasks/buggy", json={"number": 1}), 500, "internal")
    assert "Zero" not in str(body)
    awkward_api.process.wait_for_line("ZeroDivisionError")
    assert awkward.get("/health").json()["status"] == "ok"
