"""Definitions, config, health, readiness, and the way in."""

from __future__ import annotations

from importlib.metadata import version

import httpx2
import pytest

from support.web import problem_in


def test_definitions_are_listed_by_name(awkward: httpx2.Client) -> None:
    listed = awkward.get("/definitions").json()
    names = [one["name"] for one in listed]
    assert names == sorted(names) == ["add", "add_batch", "anything", "buggy", "convert", "report.send", "report_send"]
    assert [awkward.get(f"/definitions/{name}").json() for name in names] == listed


def test_a_definition_says_all_about_itself(awkward: httpx2.Client) -> None:
    one = awkward.get("/definitions/report_send").json()
    assert (one["summary"], one["description"]) == ("Send a report.", "Send a report.\n\nIt goes out at once.")
    assert (one["example"], one["url"], one["is_async"]) == ({"pages": 3}, "/tasks/report_send", False)
    assert one["input_schema"]["properties"]["pages"]["type"] == "integer"
    assert one["output_schema"]["properties"]["pages"]["maximum"] == 10
    assert (one["policy"]["queue"], one["policy"]["retries"]) == ("default", 0)
    assert awkward.get("/definitions/convert").json()["example"] is None


def test_an_async_definition_says_so(client: httpx2.Client) -> None:
    assert client.get("/definitions/echo_async").json()["is_async"] is True


def test_an_unknown_definition_is_404(client: httpx2.Client) -> None:
    body = problem_in(client.get("/definitions/ecko"), 404, "unknown_definition")
    assert "Did you mean 'echo'?" in body["detail"]


def test_config_tells_a_front_end_what_it_needs(client: httpx2.Client, stack_environment: dict[str, str]) -> None:
    config = client.get("/config").json()
    assert config == {
        "yard": stack_environment["TEST_YARD"],
        "version": version("backyard"),
        "states": ["SCHEDULED", "PENDING", "STARTED", "PROGRESS", "RETRY", "SUCCESS", "FAILURE", "REVOKED"],
        "terminal_states": ["SUCCESS", "FAILURE", "REVOKED"],
        "max_body": 1_048_576,
        "max_upload": 1_073_741_824,
    }


def test_health_and_readiness(client: httpx2.Client) -> None:
    assert client.get("/health").json() == {"status": "ok", "version": version("backyard")}
    ready = client.get("/ready")
    body = ready.json()
    assert (ready.status_code, body["ready"]) == (200, True)
    assert body["parts"]["redis"] == {"ok": True, "reason": "answers", "remedy": None}
    assert list(body["parts"]) == [
        "redis",
        "writes",
        "memory",
        "eviction",
        "durability",
        "workers",
        "silence",
        "backlog",
        "history",
    ]
    assert body["parts"]["eviction"] == {"ok": True, "reason": "noeviction", "remedy": None}


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_the_way_in(client: httpx2.Client, path: str) -> None:
    assert client.get("/").headers["location"] == "/console/"
    assert client.get(path).status_code == 200
