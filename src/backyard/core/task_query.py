"""The filter of tasks as one line of text: ``state:failure name:report since:1h "two words"``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from backyard.core.states import FINAL, RUNNING, WAITING, State
from backyard.core.task_filter import TaskFilter

#: What can stand before a colon, and what it asks for.
KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "state": "One state or several: state:failure,retry",
        "name": "Of that definition; several with a comma",
        "queue": "In that queue; several with a comma",
        "worker": "The worker of the latest attempt",
        "tag": "Has that tag",
        "since": "Accepted then or later: since:1h, since:2026-01-31",
        "until": "Accepted before: until:30min, until:2026-01-31T12:00Z",
        "schedule": "Made by that schedule",
        "operation": "Made by that operation",
        "fingerprint": "Failed with that error group",
        "task_id": "The task of that id; several with a comma",
        "rerun_of": "Reruns of that task",
        "parent_id": "Submitted from inside that task",
        "root_id": "Of the family that began with that task",
        "group_id": "Of that group of Celery's",
    }
)
#: States, and words for several of them.
STATES: Final[Mapping[str, tuple[State, ...]]] = MappingProxyType(
    {
        **{state.lower(): (state,) for state in State},
        "waiting": tuple(state for state in State if state in WAITING),
        "running": tuple(state for state in State if state in RUNNING),
        "ended": tuple(state for state in State if state in FINAL),
    }
)
#: What else people write for a key.
_MEANT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "after": "since", "before": "until", "definition": "name", "error": "fingerprint", "from": "since",
        "group": "group_id", "id": "task_id", "parent": "parent_id", "rerun": "rerun_of", "root": "root_id",
        "status": "state", "task": "name", "to": "until",
    }
)  # fmt: skip
_SEVERAL: Final = ("name", "queue", "task_id")
_TIMES: Final = ("since", "until")
_TERM: Final = re.compile(
    r"""(?P<key>-?[A-Za-z][A-Za-z_-]*):(?!//)(?P<values>(?:"(?:[^"\\]|\\.)*"?|[^\s"])*)"""
    r"""|(?P<phrase>"[^"]*"?)|(?P<word>[^\s"]+)"""
)
_VALUE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"?|([^,"]+)|(,)')
_PLAIN: Final = re.compile(r'[^\s",\\/][^\s",\\]*')
_AGO: Final = re.compile(r"(?:\d{1,6}(?:s|min|m|h|d|w))+")
_PART: Final = re.compile(r"(\d+)(s|min|m|h|d|w)")
_UNITS: Final[Mapping[str, int]] = MappingProxyType({"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800})


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a query.

    Args:
        text: As it was written.
        key: What stands before the colon; empty for words.
        values: What stands behind it, or the words.
    """

    text: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of a query that cannot be read.

    Args:
        text: The part.
        message: Why, and what to write instead.
        better: What was probably meant; empty where that is not known.
    """

    text: str
    message: str
    better: str = ""


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """A query as it was read.

    Args:
        terms: Its parts, in their order.
        filter: The tasks that it asks for; where there are problems, what the other parts ask for.
        problems: The parts that cannot be read.
    """

    terms: tuple[Term, ...]
    filter: TaskFilter
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        return _joined(term.text for term in self.terms)

    def without(self, term: Term) -> str:
        """Return the query without one of its parts."""
        return _joined(one.text for one in self.terms if one is not term)

    def replaced(self, key: str, text: str = "") -> str:
        """Return the query with a text in place of all parts of a key, or with neither."""
        return _joined([*(one.text for one in self.terms if one.key != key), text])

    def mended(self, problem: Problem) -> str:
        """Return the query with what was probably meant in place of what cannot be read."""
        return _joined(problem.better if one.text == problem.text else one.text for one in self.terms)


@dataclass(slots=True)
class _Reading:
    """What has been read of a query so far."""

    now: datetime
    parts: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, term: Term, message: str, better: str = "") -> None:
        self.problems.append(Problem(term.text, message, better))


def parse(text: str, now: datetime) -> TaskQuery:
    """Read a query.

    Args:
        text: The query.
        now: What relative times count from; has a time zone.
    """
    terms, reading = tuple(_terms(text)), _Reading(now)
    for term in terms:
        if term.key:
            _READERS.get(term.key, _read_one if term.key in KEYS else _refuse_key)(reading, term)
    words = _joined(term.text for term in terms if not term.key)
    if words:
        reading.parts["text"] = words
    try:
        wanted = TaskFilter.model_validate(reading.parts)
    except ValidationError as error:
        wanted = TaskFilter()
        for row in error.errors():
            key = str(row["loc"][0])
            reading.problems.append(Problem(key, f"'{key}' cannot be used so: {row['msg']}."))
    return TaskQuery(terms, wanted, tuple(reading.problems))


def query_text(wanted: TaskFilter) -> str:
    """Return a filter as a query that asks for the same tasks at any time."""
    given = []
    for key in KEYS:
        value = getattr(wanted, key)
        if value is None or value == ():
            continue
        if key == "tag":
            given += [f"tag:{_quoted(tag)}" for tag in value]
        elif key == "state":
            given.append(f"state:{','.join(state.lower() for state in value)}")
        elif isinstance(value, datetime):
            given.append(f"{key}:{value.astimezone(UTC).isoformat().replace('+00:00', 'Z')}")
        else:
            given.append(f"{key}:{','.join(map(_quoted, (value,) if isinstance(value, str) else value))}")
    return _joined([*given, *(_worded(term) for term in _terms(wanted.text or ""))])


# -- parts --------------------------------------------------------------------------------------------------------


def _terms(text: str) -> Iterator[Term]:
    for found in _TERM.finditer(text):
        if found["key"]:
            yield Term(found[0], found["key"].lower(), tuple(_values(found["values"])))
        else:
            yield Term(found[0], "", (found[0],))


def _values(text: str) -> Iterator[str]:
    for quoted, plain, comma in _VALUE.findall(text):
        if not comma and (quoted or plain):
            yield plain or re.sub(r"\\(.)", r"\1", quoted)


def _joined(parts: Any) -> str:
    return " ".join(part for part in parts if part)


def _quoted(value: str) -> str:
    """Return a value so that it is read as one."""
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _worded(term: Term) -> str:
    """Return a word of a text so that it is read as one."""
    return f'"{term.text.replace(chr(34), " ")}"' if term.key else term.text


# -- keys ---------------------------------------------------------------------------------------------------------


def _refuse_key(reading: _Reading, term: Term) -> None:
    key, rest = term.key, term.text.partition(":")[2]
    if key.startswith("-"):
        reading.refuse(term, f"'{term.text}': a filter says what is wanted and leaves nothing out. Take the '-' away.")
        return
    meant = _MEANT.get(key) or next(iter(difflib.get_close_matches(key, KEYS, n=1, cutoff=0.5)), None)
    if meant:
        reading.refuse(term, f"There is no filter '{key}:'. Did you mean '{meant}:'?", f"{meant}:{rest}")
    else:
        known = ", ".join(f"{one}:" for one in KEYS)
        remedy = f'There are {known}; a text with a colon is written in quotes: "{key}:{rest}".'
        reading.refuse(term, f"There is no filter '{key}:'. {remedy}", f'"{term.text.replace(chr(34), " ")}"')


def _read_states(reading: _Reading, term: Term) -> None:
    found: list[State] = []
    for value in _given(reading, term):
        known = STATES.get(value.lower())
        if known is None:
            close = difflib.get_close_matches(value.lower(), STATES, n=1)
            hint = f"Did you mean '{close[0]}'? " if close else ""
            better = term.text.replace(value, close[0]) if close else ""
            reading.refuse(term, f"There is no state '{value}'. {hint}There are {', '.join(STATES)}.", better)
            return
        found += [state for state in known if state not in found]
    _add(reading, "state", found)


def _read_several(reading: _Reading, term: Term) -> None:
    _add(reading, term.key, _given(reading, term))


def _read_tag(reading: _Reading, term: Term) -> None:
    values = _given(reading, term)
    if len(values) > 1:
        apart = " ".join(f"tag:{_quoted(value)}" for value in values)
        reading.refuse(term, f"A task has to have all of the tags: write {apart}.", apart)
        return
    _add(reading, "tag", values)


def _read_one(reading: _Reading, term: Term) -> None:
    values = _given(reading, term)
    if len(values) > 1 or (values and term.key in reading.parts):
        reading.refuse(term, f"'{term.key}:' takes one value. Leave one of them.")
    elif values:
        reading.parts[term.key] = values[0]


def _read_time(reading: _Reading, term: Term) -> None:
    values = _given(reading, term)
    if not values:
        return
    moment = _moment(values[0], reading.now) if len(values) == 1 else None
    if moment is None:
        key, value = term.key, term.text.partition(":")[2]
        reading.refuse(term, f"'{value}' is no time. Write {key}:30min, {key}:2d, {key}:today, {key}:2026-01-31 or "
                       f"{key}:2026-01-31T12:00Z; without a zone it is UTC.")  # fmt: skip
    elif term.key in reading.parts:
        reading.refuse(term, f"'{term.key}:' takes one value. Leave one of them.")
    else:
        reading.parts[term.key] = moment


_READERS: Final[Mapping[str, Callable[[_Reading, Term], None]]] = MappingProxyType(
    {
        "state": _read_states,
        "tag": _read_tag,
        **dict.fromkeys(_SEVERAL, _read_several),
        **dict.fromkeys(_TIMES, _read_time),
    }
)


def _given(reading: _Reading, term: Term) -> tuple[str, ...]:
    if not term.values:
        reading.refuse(term, f"'{term.key}:' needs a value. {KEYS[term.key]}.")
    return term.values


def _add(reading: _Reading, key: str, values: Any) -> None:
    """Add values to those that are there."""
    there = reading.parts.get(key, ())
    if values:
        reading.parts[key] = (*there, *(value for value in values if value not in there))


def _moment(text: str, now: datetime) -> datetime | None:
    """Return a time that is told by how long ago it was, by a day, or exactly; None where it is none of them."""
    words = {"now": timedelta(), "today": timedelta(), "yesterday": timedelta(days=1)}
    try:
        if text in words:
            day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            return now if text == "now" else day - words[text]
        if _AGO.fullmatch(text):
            return now - timedelta(seconds=sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text)))
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
