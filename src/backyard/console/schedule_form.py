"""The form of a schedule: what was typed, what it means, and which of its fields cannot work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import from_json

from backyard.console.forms.form import InputForm
from backyard.core.errors import InvalidInputError
from backyard.core.schedule import KINDS, SchedulePreview, ScheduleSpec, ScheduleView, parse_spec
from backyard.core.schedule_checks import check_times, preview
from backyard.core.schedule_times import Clock, zone

#: Seconds of each unit that a distance is typed in, by its name.
UNITS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}
#: Fields that are taken as they were typed; an empty one is left out.
_PLAIN = ("overlap", "catch_up", "catch_up_window", "jitter", "note")
#: Those that are something where nobody said anything.
_PRESET = ("overlap", "catch_up", "catch_up_window", "jitter")
#: Fields that may be None, and are where nothing was typed.
_OPEN = ("queue", "priority", "expires")
_MOMENTS = ("at", "start", "end")
#: What a form shows that nobody has typed in yet.
DEFAULTS: Mapping[str, str] = {
    "schedule_id": "", "name": "", "when": "cron", "cron": "0 7 * * mon-fri", "every": "1", "every_unit": "hours",
    "at": "", "tz": "UTC", "start": "", "end": "", "queue": "", "priority": "", "expires": "", "tags": "",
    "note": "",
    **{name: str(ScheduleSpec.model_fields[name].default) for name in _PRESET},
}  # fmt: skip
#: Ticks that a preview shows.
SHOWN = 5

#: The field that has a form of its own.
INPUT = "input"

Errors = dict[str, list[str]]


def typed(form: Mapping[str, Any]) -> dict[str, str]:
    """Return what was typed, field by field; what the form does not have is as nobody had typed.

    Args:
        form: The form, or a query.
    """
    values = {name: str(form.get(name, default)).replace("\r\n", "\n") for name, default in DEFAULTS.items()}
    return {**values, "tz": values["tz"].strip() or "UTC"}


def shown(view: ScheduleView) -> dict[str, str]:
    """Return what the form shows of a schedule that is there.

    Args:
        view: The schedule, its secrets masked.
    """
    kind = next((name for name in KINDS if getattr(view, name) is not None), "cron")
    values = {**DEFAULTS, "schedule_id": view.schedule_id, "name": view.name, "when": kind, "tz": view.tz}
    values |= {name: str(getattr(view, name)) for name in _PLAIN}
    values |= {name: str(getattr(view, name) or "") for name in _OPEN}
    values |= {name: _wall(getattr(view, name), view.tz) for name in _MOMENTS}
    if view.cron is not None:
        values["cron"] = view.cron
    if view.every is not None:
        unit = next(name for name in reversed(UNITS) if view.every % UNITS[name] == 0)
        values |= {"every": str(view.every // UNITS[unit]), "every_unit": unit}
    return {**values, "tags": ", ".join(view.tags)}


def meant(values: Mapping[str, str]) -> dict[str, Any]:
    """Return what was typed as the fields of a schedule, but for its input; the yard checks what they may hold.

    Args:
        values: What was typed.

    Raises:
        InvalidInputError: A field cannot be read; its errors name all of those.
    """
    rows: list[dict[str, Any]] = []
    fields: dict[str, Any] = {"name": values["name"], **_times(values, rows)}
    if not values["name"]:
        rows.append(_wrong("name", "Choose what it makes tasks of."))
    fields |= {name: values[name] for name in _PLAIN if values[name].strip() or name == "note"}
    fields |= {name: values[name].strip() or None for name in _OPEN}
    fields["tags"] = [tag for part in values["tags"].split(",") if (tag := part.strip())]
    if rows:
        raise InvalidInputError("The schedule cannot work like that.", rows)
    return fields


def changes(before: ScheduleView, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a schedule that its form changes, but for its input.

    Args:
        before: The schedule as the form showed it.
        values: What was typed.

    Raises:
        InvalidInputError: A field cannot be read.
    """
    was, wanted = meant(shown(before)), meant(values)
    return {name: value for name, value in wanted.items() if name not in was or was[name] != value}


def read_together(
    read: Callable[[Mapping[str, str]], dict[str, Any]], values: Mapping[str, str], form: InputForm | None
) -> dict[str, Any]:
    """Return what was typed with the input that its own form asked for.

    Args:
        read: Reads what was typed.
        values: What was typed.
        form: The form of the input; None where the definition is not known here.

    Raises:
        InvalidInputError: Something cannot be read; its errors name all fields of both.
    """
    fields: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    try:
        fields = read(values)
    except InvalidInputError as error:
        rows += error.errors
    try:
        if form is not None:
            fields[INPUT] = from_json(form.text())
    except InvalidInputError as error:
        inside = error.errors or [{"location": [], "message": error.message, "type": "form"}]
        rows += [{**row, "location": [INPUT, *row["location"]]} for row in inside]
    if rows:
        raise InvalidInputError("The schedule cannot work like that.", rows)
    return fields


def foresee(
    values: Mapping[str, str], view: ScheduleView | None, now: datetime
) -> tuple[SchedulePreview | None, Errors]:
    """Say when a schedule would tick, or why it cannot; only what has to do with times is looked at.

    Args:
        values: What was typed.
        view: The schedule that is changed; None for a new one.
        now: The time.
    """
    rows: list[dict[str, Any]] = []
    times = _times(values, rows)
    if rows:
        return None, errors_of(InvalidInputError("The times cannot be read.", rows))
    if values["jitter"].strip():
        times["jitter"] = values["jitter"]
    try:
        spec = parse_spec({"name": "preview", **times})
        check_times(spec, now)
        anchor = view.date_created if view else now.replace(microsecond=0)
        return preview(view.schedule_id if view else "", spec, now, anchor, SHOWN), {}
    except InvalidInputError as error:
        return None, errors_of(error)


def errors_of(error: InvalidInputError) -> Errors:
    """Return what is wrong, by field of the form; what belongs to none of them is under an empty name.

    What belongs to the input is left out: its own form says so.

    Args:
        error: What was raised.
    """
    found: Errors = {}
    if not error.errors:
        return {"": [error.message]}
    for row in error.errors:
        name, *place = [str(part) for part in row["location"]] or [""]
        if name == INPUT:
            continue
        text = f"{'.'.join(place)}: {row['message']}" if place else str(row["message"])
        found.setdefault(name if name in DEFAULTS else "", []).append(text)
    return found


def _times(values: Mapping[str, str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Read what says when; what cannot be read leaves a row."""
    kind = values["when"] if values["when"] in KINDS else KINDS[0]
    times: dict[str, Any] = {"tz": values["tz"]}
    for name in _MOMENTS:
        if name != "at" or kind == "at":
            times[name] = _moment(name, values[name].strip(), times["tz"], rows)
    if kind == "cron":
        times["cron"] = values["cron"].strip()
        if not times["cron"]:
            rows.append(_wrong("cron", "Write a cron line, as in '0 7 * * mon-fri'."))
    elif kind == "every":
        times["every"] = _distance(values, rows)
    elif times["at"] is None:
        rows.append(_wrong("at", "Say when."))
    return times


def _distance(values: Mapping[str, str], rows: list[dict[str, Any]]) -> int | None:
    text = values["every"].strip()
    if not re.fullmatch(r"[0-9]{1,9}", text) or not int(text):
        rows.append(_wrong("every", "Write a whole number from 1 on."))
        return None
    return int(text) * UNITS.get(values["every_unit"], 1)


def _moment(name: str, text: str, tz: str, rows: list[dict[str, Any]]) -> datetime | None:
    """Read a time on the clocks of a zone; one with a zone of its own is taken as it is."""
    if not text:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        rows.append(_wrong(name, "Write a day and a time, as in 2026-01-31T07:00."))
        return None
    if read.tzinfo is not None:
        return read
    try:
        return Clock(zone(tz)).moment(read)
    except (ValueError, OverflowError):
        return read.replace(tzinfo=UTC)  # the zone is refused by itself


def _wall(moment: datetime | None, tz: str) -> str:
    if moment is None:
        return ""
    local = moment.astimezone(ZoneInfo(tz))
    return f"{local:%Y-%m-%dT%H:%M:%S}" if local.second else f"{local:%Y-%m-%dT%H:%M}"


def _wrong(name: str, message: str) -> dict[str, Any]:
    return {"location": [name], "message": message, "type": "form"}


def zones(names: Iterable[str]) -> list[str]:
    """Return the time zones that a form offers, by name: those of a place, and UTC."""
    return sorted(
        name
        for name in names
        if name == "UTC" or ("/" in name and not name.startswith(("Etc/", "posix/", "right/", "SystemV/")))
    )
