"""The OpenAPI document: valid, typed, stable, and true."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from backyard import Backyard
from backyard.api import create_app
from support.web import PROBLEM

METHODS = ("get", "post", "put", "delete", "head", "patch")


@pytest.fixture(scope="module")
def document(awkward: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = awkward.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the operations by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def body_of(document: dict[str, Any], operation: str) -> dict[str, Any]:
    content = operations(document)[operation]["requestBody"]["content"]
    assert list(content) == ["application/json"]
    return resolved(document, content["application/json"]["schema"])


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)))
    assert references
    for reference in references:
        resolved(document, {"$ref": reference})


def test_each_definition_has_operations_of_its_own(document: dict[str, Any], awkward: httpx2.Client) -> None:
    found = operations(document)
    for definition in awkward.get("/definitions").json():
        name = definition["name"]
        one, many = found[f"POST /tasks/{name}"], found[f"POST /tasks/{name}/batch"]
        assert (one["operationId"], many["operationId"]) == (f"submit_{name}", f"batch_{name}")
        assert one["summary"] == definition["summary"]
        assert one["responses"].keys() == {"200", "201", "404", "413", "415", "422", "429", "503"}
        assert many["responses"].keys() == one["responses"].keys()
        assert {parameter["name"] for parameter in one["parameters"]} == {
            "delay", "at", "priority", "expires", "tags", "task_id", "webhook", "idempotency-key",
        }  # fmt: skip
        assert {parameter["name"] for parameter in many["parameters"]} == {
            "delay", "at", "priority", "expires", "tags", "webhook", "idempotency-key",
        }  # fmt: skip
        single, batch = body_of(document, f"POST /tasks/{name}"), body_of(document, f"POST /tasks/{name}/batch")
        assert single["properties"].keys() == definition["input_schema"].get("properties", {}).keys()
        assert (batch["type"], batch["minItems"], batch["maxItems"]) == ("array", 1, 10_000)
        assert resolved(document, batch["items"])["properties"].keys() == single["properties"].keys()


def test_the_text_and_the_example_of_a_definition_are_shown(document: dict[str, Any]) -> None:
    operation = operations(document)["POST /tasks/report_send"]
    assert (operation["summary"], operation["description"]) == (
        "Send a report.", "Send a report.\n\nIt goes out at once.",
    )  # fmt: skip
    assert body_of(document, "POST /tasks/report_send")["examples"] == [{"pages": 3}]
    assert "examples" not in body_of(document, "POST /tasks/convert")


def test_models_of_one_title_stay_apart(document: dict[str, Any]) -> None:
    """``report_send`` and ``report.send`` make the same title of their input, and two results are a ``Report``."""
    assert body_of(document, "POST /tasks/report_send")["properties"].keys() == {"pages"}
    assert body_of(document, "POST /tasks/report.send")["properties"].keys() == {"text"}
    fields = body_of(document, "POST /tasks/add")["properties"]
    limits = [resolved(document, fields[name])["properties"]["pages"]["maximum"] for name in ("first", "second")]
    assert limits == [10, 1_000]


def test_a_file_is_a_string(document: dict[str, Any]) -> None:
    fields = body_of(document, "POST /tasks/convert")["properties"]
    file = resolved(document, fields["file"])
    assert (file["type"], file["format"]) == ("string", "backyard-file")
    assert resolved(document, fields["others"]["items"])["type"] == "string"
    assert Draft202012Validator(file).is_valid("0190-some-id")


def test_every_error_is_documented_as_a_problem(document: dict[str, Any]) -> None:
    problems = 0
    for name, operation in operations(document).items():
        for status, answer in operation["responses"].items():
            assert not [key for key in answer if key.startswith("x-")]
            if int(status) < 400 or name == "GET /ready":
                continue
            assert list(answer["content"]) == [PROBLEM], f"{name} {status}"
            schema = resolved(document, answer["content"][PROBLEM]["schema"])
            assert schema["title"] == "Problem"
            assert set(schema["properties"]) == {"type", "title", "status", "detail", "code", "errors", "task_id"}
            assert ("Retry-After" in answer.get("headers", {})) == (status in ("429", "503"))
            problems += 1
    assert problems > 50
    assert "HTTPValidationError" not in document["components"]["schemas"]


OPERATION_IDS = {
    "POST /tasks": "submit_task",
    "GET /tasks": "list_tasks",
    "GET /tasks/{task_id}": "get_task",
    "DELETE /tasks/{task_id}": "cancel_task",
    "POST /tasks/{task_id}/rerun": "rerun_task",
    "POST /tasks/{task_id}/links": "create_link",
    "GET /tasks/{task_id}/log": "get_log",
    "GET /tasks/{task_id}/why": "get_why",
    "GET /tasks/{task_id}/events": "watch_task",
    "GET /tasks/{task_id}/artifacts": "list_artifacts",
    "GET /tasks/{task_id}/artifacts/{name}": "download_artifact",
    "POST /files": "upload_file",
    "GET /files/{file_id}": "describe_file",
    "GET /files/{file_id}/content": "download_file",
    "GET /definitions": "list_definitions",
    "GET /workers": "list_workers",
    "POST /workers/{name}/drain": "drain_worker",
    "GET /definitions/{name}": "get_definition",
    "POST /definitions/{name}/pause": "pause_definition",
    "POST /definitions/{name}/resume": "resume_definition",
    "GET /queues": "list_queues",
    "GET /queues/{name}/depth": "queue_depth",
    "POST /queues/{name}/purge": "purge_queue",
    "POST /queues/{name}/pause": "pause_queue",
    "POST /queues/{name}/resume": "resume_queue",
    "GET /dead-letters": "list_dead_letters",
    "DELETE /dead-letters": "delete_dead_letters",
    "GET /dead-letters/{letter_id}": "get_dead_letter",
    "DELETE /dead-letters/{letter_id}": "delete_dead_letter",
    "POST /dead-letters/{letter_id}/requeue": "requeue_dead_letter",
    "GET /schedules": "list_schedules",
    "POST /schedules": "create_schedule",
    "POST /schedules/preview": "preview_schedule",
    "GET /schedules/{schedule_id}": "get_schedule",
    "PATCH /schedules/{schedule_id}": "update_schedule",
    "DELETE /schedules/{schedule_id}": "delete_schedule",
    "GET /schedules/{schedule_id}/next": "next_ticks",
    "POST /schedules/{schedule_id}/pause": "pause_schedule",
    "POST /schedules/{schedule_id}/resume": "resume_schedule",
    "POST /schedules/{schedule_id}/run": "run_schedule",
    "GET /webhooks": "list_webhooks",
    "POST /webhooks": "create_webhook",
    "GET /webhooks/{webhook_id}": "get_webhook",
    "PATCH /webhooks/{webhook_id}": "update_webhook",
    "DELETE /webhooks/{webhook_id}": "delete_webhook",
    "POST /webhooks/{webhook_id}/test": "test_webhook",
    "POST /webhooks/{webhook_id}/enable": "enable_webhook",
    "GET /webhooks/deliveries": "list_deliveries",
    "POST /webhooks/deliveries/{delivery_id}/redeliver": "redeliver",
    "GET /health": "health",
    "GET /ready": "ready",
    "GET /config": "config",
    "GET /tasks/count": "count_tasks",
    "GET /tasks/{task_id}/attempts": "list_attempts",
    "GET /tasks/{task_id}/timeline": "list_events",
    "GET /stats": "stats",
    "GET /errors": "list_errors",
    "GET /errors/{fingerprint}": "get_error",
    "GET /errors/{fingerprint}/series": "error_series",
    "GET /audit": "list_audit",
    "GET /operations": "list_operations",
    "GET /operations/{operation_id}": "get_operation",
    "POST /operations": "create_operation",
    "POST /operations/preview": "preview_operation",
    "POST /operations/{operation_id}/stop": "stop_operation",
}


def test_operation_ids_are_pinned(document: dict[str, Any]) -> None:
    """Clients are generated from them, so that a change of a name breaks programs."""
    found = {key: one["operationId"] for key, one in operations(document).items() if "definitions" not in one["tags"]}
    found |= {key: one["operationId"] for key, one in operations(document).items() if "/definitions" in key}
    assert found == OPERATION_IDS
    every = [one["operationId"] for one in operations(document).values()]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("own", [False, True])
def test_a_definition_that_comes_later_appears(new_yard: Backyard, *, own: bool) -> None:
    app = FastAPI()

    def openapi() -> dict[str, Any]:
        """Write the document as FastAPI's own pages on extending it say."""
        if not app.openapi_schema:
            app.openapi_schema = get_openapi(title="Mine", version="1", routes=app.routes)
        return app.openapi_schema

    if own:
        app.openapi = openapi  # type: ignore[method-assign]  # as those pages say
    new_yard.mount(app)
    assert "/tasks/later" not in app.openapi()["paths"]

    @new_yard.task
    def later(size: int) -> int:
        return size

    assert PROBLEM in app.openapi()["paths"]["/tasks/later"]["post"]["responses"]["404"]["content"]


def test_a_definition_that_is_registered_again_is_shown_once(new_yard: Backyard) -> None:
    """A notebook's cell is run twice, and the second time its function takes something else."""
    app = create_app(new_yard)

    def declare(source: str) -> None:
        names: dict[str, Any] = {"__name__": "notebook"}
        exec(source, names)  # noqa: S102 - our own text, as a notebook runs it
        new_yard.task(names["again"])

    declare("def again(first: int) -> int: ...")
    app.openapi()
    declare("def again(second: int) -> int: ...")
    document = app.openapi()
    assert body_of(document, "POST /tasks/again")["properties"].keys() == {"second"}
    assert sum("again" in getattr(route, "path", "") for route in app.routes) == 2


class Problem(BaseModel):
    """A model of an app's own, which has the name of ours."""

    mine: str


def test_a_model_of_the_apps_own_is_not_mistaken_for_ours(new_yard: Backyard) -> None:
    app = FastAPI()

    @app.get("/mine")
    async def mine() -> Problem:
        return Problem(mine="")

    new_yard.mount(app, prefix="/jobs")
    document = app.openapi()
    content = operations(document)["GET /mine"]["responses"]["200"]["content"]
    assert resolved(document, content["application/json"]["schema"])["properties"].keys() == {"mine"}
    content = operations(document)["GET /jobs/tasks/{task_id}"]["responses"]["404"]["content"]
    assert "detail" in resolved(document, content[PROBLEM]["schema"])["properties"]
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    # Another operation of the app keeps FastAPI's own way.
    assert app.openapi() is document
