"""From ``module:attribute`` on the command line to the yard it names."""

from __future__ import annotations

import difflib
import importlib
import sys
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backyard.collector import held
from backyard.core.errors import BackyardError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi import FastAPI

    from backyard.app import Backyard

# Where a traceback passes through code that is not the user's own.
_PATHS = sysconfig.get_paths()
_NOT_THEIRS = ("<frozen", _PATHS["stdlib"], _PATHS["purelib"], _PATHS["platlib"], __file__)


@dataclass(frozen=True)
class Target:
    """A yard, and the user's own FastAPI app it is mounted in, if that was named."""

    yard: Backyard
    app: FastAPI | None


def load_target(name: str, *, to_serve: bool = False) -> Target:
    """Import what a target names.

    Args:
        name: ``module:attribute``; the attribute is a Backyard, or a FastAPI app with a yard mounted.
        to_serve: Whether this process will serve HTTP: without, an app that a yard is mounted in gets no routes of it.

    Raises:
        TargetError: There is no such thing; the message says what was found instead.
    """
    module_name, colon, attribute = name.partition(":")
    if not (colon and module_name and attribute) or "/" in module_name:
        hint = Path(module_name).name.removesuffix(".py") or "shop"
        raise TargetError(f"{name!r} is not of the form module:attribute. Write for example {hint}:app.")
    with held():
        from backyard.app import serves_http  # noqa: PLC0415 - the command line alone does not need it

        before = serves_http.set(to_serve)
        try:
            module = _import(module_name, name)
            found = _attribute(module, module_name, attribute)
        finally:
            serves_http.reset(before)
    return _as_target(found, module, name)


def _import(module_name: str, target: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except BackyardError:
        raise
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(f"{missing}."):
            hint = _did_you_mean(missing, _modules_here(), ":" + target.partition(":")[2])
            raise TargetError(f"There is no module {missing!r} in {Path.cwd()}, and none is installed.{hint}") from None
        raise TargetError(_import_failed(module_name, error)) from error
    except Exception as error:
        raise TargetError(_import_failed(module_name, error)) from error


def _import_failed(module_name: str, error: Exception) -> str:
    """Say what went wrong, and where in the user's own code."""
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
    else:
        lines = [f"{frame.filename}, line {frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        place = next((line for line in reversed(lines) if not line.startswith(_NOT_THEIRS)), module_name)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return (
        f"Importing {module_name} failed with {type(error).__name__}: {text} ({place}). "
        f"`{Path(sys.executable).name} -c 'import {module_name}'` shows all of it."
    )


def _attribute(module: Any, module_name: str, attribute: str) -> Any:
    found = module
    for word in attribute.split("."):
        try:
            found = getattr(found, word)
        except AttributeError:
            raise TargetError(_no_attribute(module, module_name, attribute)) from None
    return found


def _as_target(found: Any, module: Any, name: str) -> Target:
    from backyard.app import Backyard  # noqa: PLC0415 - as above

    if isinstance(found, Backyard):
        return Target(found, None)
    from fastapi import FastAPI  # noqa: PLC0415 - a worker and a keeper do without it

    if isinstance(found, FastAPI):
        yard = getattr(found.state, "backyard", None)
        if isinstance(yard, Backyard):
            return Target(yard, found)
        raise TargetError(f"The FastAPI app {name} has no yard mounted. Call yard.mount(app) where it is made.")
    module_name, _, _ = name.partition(":")
    better = [f"{module_name}:{key}" for key, value in vars(module).items() if isinstance(value, (Backyard, FastAPI))]
    hint = f" Did you mean {' or '.join(better)}?" if better else ""
    raise TargetError(f"{name} is of type {type(found).__name__}; a Backyard or a FastAPI app is needed.{hint}")


def _no_attribute(module: Any, module_name: str, attribute: str) -> str:
    names = [key for key in vars(module) if not key.startswith("_")]
    hint = _did_you_mean(attribute, names, before=f"{module_name}:")
    if not hint:
        yards = [key for key, value in vars(module).items() if type(value).__name__ in {"Backyard", "FastAPI"}]
        hint = f" Did you mean {' or '.join(f'{module_name}:{key}' for key in yards)}?" if yards else ""
    return f"The module {module_name} has no attribute {attribute!r}.{hint}"


def _did_you_mean(wrong: str, names: Iterable[str], after: str = "", before: str = "") -> str:
    close = difflib.get_close_matches(wrong, list(names), n=1)
    return f" Did you mean {before}{close[0]}{after}?" if close else ""


def _modules_here() -> list[str]:
    files = [path.stem for path in Path.cwd().glob("*.py")]
    return files + [path.parent.name for path in Path.cwd().glob("*/__init__.py")]
