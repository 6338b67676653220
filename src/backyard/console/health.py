"""The page of settings and health: what the doctor finds, what is set, how large and how far behind things are."""

from __future__ import annotations

import asyncio
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from starlette.responses import Response

from backyard.console.page import Page, get
from backyard.core.errors import BackyardError
from backyard.desk.past import ask
from backyard.doctor import Check, Finding, Severity, diagnose, thorough_facts
from backyard.history.sizes import Sizes, sizes_of
from backyard.ledger.keeper_calls import lag_between
from backyard.settings import Settings

if TYPE_CHECKING:
    from backyard.app import Backyard
    from backyard.doctor.facts import Facts

#: Seconds that the doctor gets; a storage far away may take longer.
LONGEST = 5.0
#: What stands for the value of a secret.
MASK = "set, not shown"
PACKAGES = (
    "celery", "kombu", "redis", "fastapi", "starlette", "uvicorn", "pydantic", "sqlalchemy", "jinja2", "obstore",
    "flower",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as people see it.

    Args:
        name: The environment variable that sets it.
        value: Its value.
        default: What it is where nobody sets it.
        help: What it sets.
        changed: Whether it is another than the default.
        secret: Whether its value is not shown.
    """

    name: str
    value: str
    default: str
    help: str
    changed: bool
    secret: bool


@dataclass(frozen=True, slots=True)
class Examined:
    """What the doctor found.

    Args:
        findings: Each check with its finding, the worst first.
        facts: What it has read; None where that took too long.
        late: Why there are no findings; empty where there are.
    """

    findings: Sequence[tuple[Check, Finding]] = ()
    facts: Facts | None = None
    late: str = ""

    @property
    def wrong(self) -> Sequence[tuple[Check, Finding]]:
        """Those that want something to be done."""
        return [row for row in self.findings if row[1].severity is not Severity.OK]

    @property
    def fine(self) -> Sequence[tuple[Check, Finding]]:
        """The others."""
        return [row for row in self.findings if row[1].severity is Severity.OK]

    @property
    def counts(self) -> Mapping[Severity, int]:
        """How many findings there are of each severity."""
        return Counter(finding.severity for _, finding in self.findings)


async def show(page: Page) -> Response:
    """Show what the doctor finds, what is set, and how large things are."""
    examined, (sizes, missing) = await asyncio.gather(_examine(page.yard), _sizes(page.yard))
    facts = examined.facts
    return page.show(
        "health/show.html", examined=examined, Severity=Severity, facts=facts, server=_server(facts) if facts else {},
        lag=lag_between(facts.recorded.position, facts.newest) if facts and facts.recorded else None,
        sizes=sizes, missing=missing, settings=settings_of(page.yard.settings),
        packages=await asyncio.to_thread(_versions),
        files=without_password(page.yard.settings.files_url or str(page.yard.settings.data_dir / "files")),
    )  # fmt: skip


async def _examine(yard: Backyard) -> Examined:
    """Let the doctor look, in a thread and for a limited time."""

    def look() -> Examined:
        facts = thorough_facts(yard)
        return Examined(sorted(diagnose(facts), key=lambda row: -row[1].severity), facts)

    try:
        async with asyncio.timeout(LONGEST):
            return await asyncio.to_thread(look)
    except TimeoutError:
        return Examined(
            late=f"The doctor was not done within {LONGEST:g} s: Redis or the file storage hardly answers. "
            "Run `backyard doctor` where the API runs to see which."
        )


async def _sizes(yard: Backyard) -> tuple[Sizes | None, str]:
    """Return how large the history is, or why that is not known."""
    try:
        return await ask(yard, sizes_of), ""
    except BackyardError as error:
        return None, error.message


# -- settings -----------------------------------------------------------------------------------------------------


def settings_of(settings: Settings) -> list[SettingRow]:
    """Return every setting with its value; secrets are not among them, nor passwords within URLs.

    Args:
        settings: The settings of this process.
    """
    rows = []
    for name, field in Settings.model_fields.items():
        value, default = getattr(settings, name), field.default
        secret = _secret(value) or "SecretStr" in str(field.annotation)
        rows.append(
            SettingRow(
                name=_variable(name, field), value=_told(value), default=_told(default), help=field.description or "",
                changed=value != default, secret=secret,
            )
        )  # fmt: skip
    return rows


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"BACKYARD_{name.upper()}"


def _secret(value: Any) -> bool:
    return isinstance(value, SecretStr) or (
        isinstance(value, tuple) and any(isinstance(one, SecretStr) for one in value)
    )


def _told(value: Any) -> str:
    if value is None or value in ((), {}):
        return "unset"
    if _secret(value):
        return f"{len(value)} keys, not shown" if isinstance(value, tuple) and len(value) > 1 else MASK
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"  # noqa: PLR2004 - where %g begins with exponents
    if isinstance(value, str | Path):
        return without_password(str(value))
    return str(value)


def without_password(text: str) -> str:
    """Return a value without what may be secret in a URL: user, password, query.

    Args:
        text: A URL, or anything else.
    """
    if "://" not in text:
        return text
    scheme, _, rest = text.partition("://")
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    authority, slash, path = place.partition("/")
    kept = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    return kept + ("?…" if urlsplit(text).query else "")


# -- what runs ----------------------------------------------------------------------------------------------------


@cache
def _versions() -> Mapping[str, str]:
    """Return the versions of Python and of the packages that matter; those that are not installed are left out."""
    found = {"Backyard": version("backyard"), "Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _server(facts: Facts) -> dict[str, Any]:
    """Return what matters of what the server says of itself."""
    info, number = facts.info, facts.number
    word = facts.word("server_name") or "redis"
    return {
        "kind": f"{word.capitalize()} {info.get('valkey_version') or info.get('redis_version') or ''}".strip(),
        "uptime": number("uptime_in_seconds"), "used": number("used_memory"), "peak": number("used_memory_peak"),
        "most": number("maxmemory"), "policy": facts.word("maxmemory_policy"),
        "aof": number("aof_enabled") == 1, "aof_size": number("aof_current_size"),
        "aof_written": facts.word("aof_last_write_status") or "unknown",
        "fsync": (facts.config or {}).get("appendfsync", ""), "clients": number("connected_clients"),
        "evicted": number("evicted_keys"), "latency": facts.latency, "skew": facts.skew,
    }  # fmt: skip


ADDRESSES = (get("/settings", show),)
