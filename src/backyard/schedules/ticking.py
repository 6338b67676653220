"""The tasks of a schedule: how its input is kept, and how a tick becomes a submission."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from backyard.core.definition import Definition
from backyard.core.errors import InvalidInputError
from backyard.core.schedule import ScheduleSpec
from backyard.core.schedule_checks import check_tags
from backyard.ledger.submission import Submission
from backyard.settings import Settings
from backyard.submit import LONGEST_TAG, MOST_TAGS, Options, submission


def tick_id(schedule_id: str, tick: datetime) -> str:
    """Return the id of a tick's task: the same for whoever submits it.

    Args:
        schedule_id: The schedule.
        tick: The tick, which is on a whole second.
    """
    return f"{schedule_id}.{tick.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def tick_submission(
    definition: Definition, spec: ScheduleSpec, schedule_id: str, task_id: str | None, settings: Settings
) -> Submission:
    """Build the task of a tick; what the input leaves open gets its default now.

    Args:
        definition: What it is a task of.
        spec: What the schedule is to do.
        schedule_id: The schedule.
        task_id: The task's id; None makes a new one.
        settings: The yard's settings.

    Raises:
        InvalidInputError: The input does not fit the definition any more.
    """
    payload = definition.encode(definition.parse(to_json(spec.input)))
    options = Options().having(
        task_id=task_id,
        schedule=schedule_id,
        tags=spec.tags,
        priority=spec.priority,
        queue=spec.queue,
        expires=spec.expires,
    )
    return submission(definition, payload, options, settings)


def fitted(definition: Definition, spec: ScheduleSpec) -> ScheduleSpec:
    """Check that a schedule's tasks can be submitted, and return it as it is kept.

    Args:
        definition: What it is to run.
        spec: What a person wrote; its input is as in JSON.

    Raises:
        InvalidInputError: The input does not fit; its errors name the fields.
    """
    check_tags(spec, MOST_TAGS, LONGEST_TAG)
    try:
        model = definition.parse(to_json(spec.input))
        definition.encode(model)
    except InvalidInputError as error:
        for row in error.errors:
            row["location"] = ["input", *row["location"]]
        raise
    return spec.model_copy(update={"input": kept_input(definition, model)})


def bound_input(definition: Definition, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an input that a program gives, as it is kept.

    Args:
        definition: What it is for.
        values: The arguments by name, each as its own type.

    Raises:
        InvalidInputError: They do not fit.
    """
    return kept_input(definition, definition.bind((), values))


def kept_input(definition: Definition, model: BaseModel) -> dict[str, Any]:
    """Return a checked input as JSON values, secrets sealed; what was left open stays so: each tick gets its default.

    Args:
        definition: What it is for.
        model: The checked input.

    Raises:
        InvalidInputError: A secret is where it cannot be sealed.
    """
    given: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    places, vault = definition.shape.places, definition.vault
    if places is None or vault is None:
        return given
    try:
        sealed: dict[str, Any] = places.seal(given, model.model_dump(by_alias=True, exclude_unset=True), vault)
    except ValueError as error:
        raise InvalidInputError(f"The input of {definition.name} cannot be kept: {error}") from None
    return sealed
