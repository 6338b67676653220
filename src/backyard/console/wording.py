"""How values read: times, durations, sizes, numbers, states."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from backyard.core.states import State

#: What stands where there is no value.
NOTHING = "—"
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_TEN = 10
_KILO = 1_024
#: The icon and the word of each state; the icon's name is also the colour's.
_STATES = {
    State.SCHEDULED: ("scheduled", "Scheduled"),
    State.PENDING: ("pending", "Pending"),
    State.STARTED: ("started", "Started"),
    State.PROGRESS: ("started", "Progress"),
    State.RETRY: ("retry", "Retry"),
    State.SUCCESS: ("success", "Success"),
    State.FAILURE: ("failure", "Failure"),
    State.REVOKED: ("revoked", "Revoked"),
}


def state_icon(state: str) -> str:
    """Return the name of a state's icon and colour."""
    return _STATES[State(state)][0]


def state_word(state: str) -> str:
    """Return a state as people read it."""
    return _STATES[State(state)][1]


def duration(seconds: float | None) -> str:
    """Return a duration: ``0.8 ms``, ``12 ms``, ``3.4 s``, ``2 min 5 s``, ``3 h 20 min``, ``4 d 2 h``."""
    if seconds is None:
        return NOTHING
    if seconds < 0:
        return "0 s"
    if seconds < 1:
        thousandths = seconds * 1_000
        return f"{thousandths:.1f} ms" if 0 < thousandths < _TEN else f"{thousandths:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < _TEN else f"{seconds:.0f} s"
    for unit, name, small, small_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if seconds >= unit:
            rest = int(seconds % unit // small)
            return f"{int(seconds // unit)} {name}" + (f" {rest} {small_name}" if rest else "")
    raise AssertionError(seconds)


def size(number: float | None) -> str:
    """Return a size in bytes: ``12 B``, ``3.4 kB``, ``1.2 MB``."""
    if number is None:
        return NOTHING
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < _KILO:
            return f"{value:.0f} {unit}" if unit == "B" or value >= _TEN else f"{value:.1f} {unit}"
        value /= _KILO
    return f"{value:.1f} TB"


def number(value: float | None) -> str:
    """Return a number with its thousands apart."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def percent(share: float | None) -> str:
    """Return a share of one as ``12.3 %``."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def ago(moment: datetime | None) -> Markup:
    """Return a time as an element that says how long ago that is, or how soon, with the exact time on hover."""
    if moment is None:
        return Markup("{}").format(NOTHING)
    seconds = (datetime.now(UTC) - moment).total_seconds()
    text = "now" if abs(seconds) < 1 else f"{_rough(seconds)} ago" if seconds > 0 else f"in {_rough(-seconds)}"
    return _time(moment, exact(moment), "ago", text)


def since(moment: datetime) -> Markup:
    """Return a time as an element that says how long that lasts by now, with the exact time on hover."""
    lasts = duration((datetime.now(UTC) - moment).total_seconds())
    return _time(moment, f"since {exact(moment)}", "since", lasts)


def _time(moment: datetime, title: str, kind: str, text: str) -> Markup:
    # Nothing in it needs escaping, which would take longer than all else that draws a long table.
    when = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return Markup(f'<time datetime="{when}" title="{title}" data-{kind}>{text}</time>')  # noqa: S704 - see above


def exact(moment: datetime | None) -> str:
    """Return a time to the millisecond, in UTC."""
    if moment is None:
        return NOTHING
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(' ', 'milliseconds')} UTC"


def _rough(seconds: float) -> str:
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds)} s"


def pretty(value: Any) -> str:
    """Return a value as JSON text to read."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def short(text: str, most: int = 12) -> str:
    """Return the end of an id that begins as others do, or the beginning of a longer text."""
    return text if len(text) <= most else f"…{text[-most + 1 :]}"


def cut(text: str, most: int = 120) -> str:
    """Return a text of one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: ``1 task``, ``3 tasks``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": ago,
    "cut": cut,
    "duration": duration,
    "exact": exact,
    "number": number,
    "percent": percent,
    "plural": plural,
    "pretty": pretty,
    "short": short,
    "since": since,
    "size": size,
    "state_icon": state_icon,
    "state_word": state_word,
}
