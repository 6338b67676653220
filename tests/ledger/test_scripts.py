"""Each script has before it what it uses of the shared parts, and nothing else."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from backyard.ledger import scripts
from backyard.ledger.scripts import PARTS, names_in, parts, script, with_parts
from support.bench import Bench

FOLDER = files(scripts)
SCRIPTS = sorted(one.name.removesuffix(".lua") for one in FOLDER.iterdir() if one.name.endswith(".lua"))
#: The language's own words, and what the server gives to every script.
GIVEN = re.findall(
    r"\w+",
    "and break do else elseif end false for function if in local nil not or repeat return then true until while "
    "ARGV KEYS cjson error ipairs math pairs pcall redis select string table tonumber tostring type unpack",
)


def declared_in(text: str) -> set[str]:
    """Return the names that a script declares anywhere, without regard to where they can be seen."""
    lists = [
        *re.findall(r"\blocal (?:function )?([\w ,]+)", text),
        *re.findall(r"\bfor ([\w ,]+?)(?: in\b|\s*=)", text),
        *re.findall(r"\bfunction\b[^(\n]*\(([^)]*)\)", text),
        *re.findall(r"[{,]\s*(\w+) = ", text),
    ]
    return {name.strip() for names in lists for name in names.split(",")}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_has_all_it_uses(bench: Bench, name: str) -> None:
    one = script(name)
    code = re.sub(r"--.*", "", one.text)
    missing = names_in(one.text) - declared_in(code) - set(GIVEN)
    assert not missing, "the server raises an error for a name that it does not know, and only when it gets there"
    assert bench.client.script_load(one.text) == one.sha


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_has_nothing_that_it_does_not_use(name: str) -> None:
    text = script(name).text
    for part, code in parts():
        if code in text:
            assert part in names_in(text.replace(code, "")), f"nothing in {name}.lua uses {part}"


def test_parts_are_complete_and_only_use_what_comes_before_them() -> None:
    whole = "".join(FOLDER.joinpath("parts", f"{part}.lua").read_text("utf-8") for part in PARTS)
    assert sorted(f"{part}.lua" for part in PARTS) == sorted(one.name for one in FOLDER.joinpath("parts").iterdir())
    lines = [line for line in whole.splitlines() if line]
    assert [line for _, code in parts() for line in code.splitlines() if line] == lines, "not all of it is a part"
    names = [name for name, _ in parts()]
    assert len(names) == len(set(names))
    for number, (name, code) in enumerate(parts()):
        later = names_in(code) & set(names[number + 1 :])
        assert not later, f"{name} uses {later}, which comes after it"


def test_comments_and_words_of_the_ledger_are_no_names() -> None:
    assert names_in("-- finish it\nredis.call('HSET', key, 'finish', \"x\" .. 'emit --' .. a.wake)") >= {
        "redis",
        "key",
        "a",
    }
    assert not names_in("-- finish it\nredis.call('finish', 'emit --', a.wake)") & {"finish", "emit", "wake", "it"}
    assert with_parts("return 1") == "return 1"
