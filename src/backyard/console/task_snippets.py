"""Code that submits the same as a task did: curl, Python, JavaScript."""

from __future__ import annotations

import json
import pprint
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from backyard.core.definition import Definition
from backyard.core.models import TaskView
from backyard.core.rerun import kept_input
from backyard.core.secrets import MASK

#: Characters of an input that is written into code; a longer one is read from a file.
_LONGEST = 10_000
_FILE = "input.json"
_WIDTH = 88


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of code.

    Args:
        label: What it is in.
        code: The code.
    """

    label: str
    code: str


@dataclass(frozen=True, slots=True)
class Snippets:
    """Code that submits the same.

    Args:
        pieces: One a language.
        masked: Whether secrets stand masked in it.
        from_file: The file that the input is to be saved in first; empty where it stands in the code.
    """

    pieces: Sequence[Snippet]
    masked: bool
    from_file: str


def snippets_of(view: TaskView, definition: Definition | None, api: str) -> Snippets:
    """Return code that submits the same as a task did.

    Args:
        view: The task; its secrets are masked.
        definition: What it is a task of, where that is known here.
        api: URL of the API, without a slash at its end.
    """
    given = view.input
    if definition is not None:
        given = json.loads(kept_input(definition, json.dumps(given)))
    text = json.dumps(given, ensure_ascii=False)
    options: dict[str, Any] = {}
    if view.tags:
        options["tags"] = view.tags
    if definition is not None and view.priority != definition.policy.priority:
        options["priority"] = view.priority
    url = f"{api}/tasks/{quote(view.name, safe='')}"
    query = f"?{urlencode(options, doseq=True)}" if options else ""
    if len(text) > _LONGEST:
        return Snippets([Snippet("curl", _curl(url + query, f"@{_FILE}"))], MASK in text, _FILE)
    pieces = [Snippet("curl", _curl(url + query, text)), Snippet("Python", _httpx(url, options, given))]
    if definition is not None:
        pieces.append(Snippet("Python, in your app", _submit(definition, options, given)))
    pieces.append(Snippet("JavaScript", _fetch(url + query, given)))
    return Snippets(pieces, MASK in text, "")


def _curl(url: str, body: str) -> str:
    return f"curl -X POST {shlex.quote(url)} \\\n  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(body)}"


def _httpx(url: str, options: dict[str, Any], given: Any) -> str:
    arguments = [json.dumps(url), *([f"params={_python(options)}"] if options else []), f"json={_python(given)}"]
    listed = "".join(f"    {_indented(one)},\n" for one in arguments)
    return (
        f"import httpx\n\nanswer = httpx.post(\n{listed})\nanswer.raise_for_status()\nprint(answer.json()['task_id'])"
    )


def _submit(definition: Definition, options: dict[str, Any], given: Any) -> str:
    function = definition.function
    name = function.__name__
    chosen = f".with_options({', '.join(f'{key}={value!r}' for key, value in options.items())})" if options else ""
    if isinstance(given, dict) and all(str(key).isidentifier() for key in given):
        listed = "".join(f"    {key}={_indented(_python(value))},\n" for key, value in given.items())
        arguments = f"\n{listed}" if listed else ""
    else:
        arguments = f"**{_python(given)}"
    return (
        f"from {function.__module__} import {name}\n\nhandle = await {name}{chosen}.submit({arguments})\n"
        "result = await handle.result()"
    )


def _fetch(url: str, given: Any) -> str:
    body = _indented(json.dumps(given, indent=2, ensure_ascii=False), "  ")
    return (
        f"const answer = await fetch({json.dumps(url)}, {{\n"
        '  method: "POST",\n'
        '  headers: { "Content-Type": "application/json" },\n'
        f"  body: JSON.stringify({body}),\n"
        "});\n"
        "const task = await answer.json();"
    )


def _python(value: Any) -> str:
    return pprint.pformat(value, width=_WIDTH, sort_dicts=False)


def _indented(text: str, by: str = "    ") -> str:
    """Return a text with all of its lines but the first moved to the right."""
    return text.replace("\n", "\n" + by)
