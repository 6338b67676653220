"""Secrets are sealed wherever an input may have them, open with the key and in their place alone, and stay unseen."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel, ConfigDict, Field, Secret, SecretBytes, SecretStr, field_serializer

from backyard.core.definition import Definition, define
from backyard.core.errors import DefinitionError, InvalidInputError, SettingsError
from backyard.core.secrets import MASK, masked, scrub, scrubbed, spellings
from backyard.core.vault import ClosedError, Vault
from backyard.settings import Settings, load_settings

KEY, OTHER = "k" * 40, "o" * 40
VAULT = Vault([KEY])
HIDDEN = "hunter2-of-ada"

Marked = Annotated[str, Field(json_schema_extra={"secret": True})]


class Login(BaseModel):
    user: str
    password: SecretStr


class Key(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    raw: SecretBytes


class Named(BaseModel):
    pass_word: SecretStr = Field(alias="passWord")


class Written(BaseModel):
    """Writes its secret itself, as pydantic's documentation says how."""

    password: SecretStr

    @field_serializer("password", when_used="json")
    def _write(self, value: SecretStr) -> str:
        return value.get_secret_value()


class AlwaysWritten(BaseModel):
    """Writes its secret in the open, in Python as well."""

    password: SecretStr

    @field_serializer("password")
    def _write(self, value: SecretStr) -> str:
        return value.get_secret_value()


class Tree(BaseModel):
    value: SecretStr
    under: list[Tree] = []


@dataclasses.dataclass
class Box:
    password: SecretStr


class Open(BaseModel):
    anything: Any


def direct(a: SecretStr) -> None: ...
def inside(a: Login) -> None: ...
def in_list(a: list[Login]) -> None: ...
def in_mapping(a: dict[int, SecretStr]) -> None: ...
def in_set(a: set[SecretStr]) -> None: ...
def in_tuple(a: tuple[int, SecretStr]) -> None: ...
def in_union(a: int | Login | SecretStr | None) -> None: ...
def in_box(a: Box) -> None: ...
def by_alias(a: Named) -> None: ...
def in_tree(a: Tree) -> None: ...
def as_bytes(a: SecretBytes) -> None: ...
def bytes_inside(a: Key) -> None: ...
def any_type(a: Secret[dict[str, str]]) -> None: ...
def a_date(a: Secret[dt.date]) -> None: ...
def of_a_model(a: Secret[Login]) -> None: ...
def marked(a: Marked) -> None: ...
def marked_model(a: Annotated[Login, Field(json_schema_extra={"secret": True})]) -> None: ...
def written(a: Written) -> None: ...
def always_written(a: AlwaysWritten) -> None: ...
def odd_name(model_key: SecretStr, _key: SecretStr) -> None: ...
def schema_words(default: SecretStr, required: SecretStr) -> None: ...
def unhidden(a: Annotated[SecretStr, Field(json_schema_extra={"format": "text"})]) -> None: ...


S = SecretStr
RAW = b"\xff\x00hunter2"
CASES: list[tuple[Callable[..., None], dict[str, Any]]] = [
    (direct, {"a": S(HIDDEN)}),
    (inside, {"a": Login(user="ada", password=S(HIDDEN))}),
    (in_list, {"a": [Login(user="ada", password=S(HIDDEN)), Login(user="bob", password=S("other"))]}),
    (in_mapping, {"a": {7: S(HIDDEN)}}),
    (in_set, {"a": {S(HIDDEN), S("other"), S("third")}}),
    (in_tuple, {"a": (3, S(HIDDEN))}),
    (in_union, {"a": Login(user="ada", password=S(HIDDEN))}),
    (in_union, {"a": S(HIDDEN)}),
    (in_union, {"a": 5}),
    (in_union, {"a": None}),
    (in_box, {"a": Box(S(HIDDEN))}),
    (by_alias, {"a": Named(passWord=S(HIDDEN))}),
    (in_tree, {"a": Tree(value=S(HIDDEN), under=[Tree(value=S("u"), under=[Tree(value=S(HIDDEN))])])}),
    (as_bytes, {"a": SecretBytes(RAW)}),
    (bytes_inside, {"a": Key(raw=SecretBytes(RAW))}),
    (any_type, {"a": Secret[dict[str, str]]({"token": HIDDEN})}),
    (a_date, {"a": Secret[dt.date](dt.date(1815, 12, 10))}),
    (of_a_model, {"a": Secret[Login](Login(user="ada", password=S(HIDDEN)))}),
    (marked, {"a": HIDDEN}),
    (marked_model, {"a": Login(user="ada", password=S(HIDDEN))}),
    (written, {"a": Written(password=S(HIDDEN))}),
    (always_written, {"a": AlwaysWritten(password=S(HIDDEN))}),
    (odd_name, {"model_key": S(HIDDEN), "_key": S(HIDDEN)}),
    (direct, {"a": S("")}),
    (direct, {"a": S('quotes " and \n lines, and ünïcode')}),
    (unhidden, {"a": S(HIDDEN)}),
    (schema_words, {"default": S(HIDDEN), "required": S(HIDDEN)}),
]


def made(function: Callable[..., Any], vault: Vault | None = VAULT, **options: Any) -> Definition:
    return define(function, None, None, vault, **options)


def sealed(function: Callable[..., Any], vault: Vault = VAULT, /, **values: Any) -> bytes:
    definition = made(function, vault)
    return definition.encode(definition.bind((), values))


@pytest.mark.parametrize(("function", "values"), CASES, ids=[row[0].__name__ for row in CASES])
def test_comes_back_as_it_was_and_is_nowhere_readable(function: Callable[..., Any], values: dict[str, Any]) -> None:
    definition = made(function)
    payload = definition.encode(definition.bind((), values))
    assert HIDDEN.encode() not in payload
    assert b"1815" not in payload
    assert b"**" not in payload, "asterisks instead of a secret: it would be lost"
    arguments = definition.arguments(definition.parse(payload))
    assert arguments == definition.arguments(definition.bind((), values))
    # The same once more: sealed values are compared, and a rerun sends them on.
    assert definition.encode(definition.parse(payload)) == payload


def test_a_plain_input_at_the_door_is_taken_and_sealed() -> None:
    definition = made(inside)
    text = json.dumps({"a": {"user": "ada", "password": HIDDEN}})
    payload = definition.encode(definition.parse(text))
    assert json.loads(payload)["a"]["user"] == "ada"
    assert masked(json.loads(payload)) == {"a": {"user": "ada", "password": MASK}}
    assert definition.open(text) == (text, (HIDDEN,))
    opened, secrets = definition.open(payload)
    assert json.loads(opened) == json.loads(text)
    assert secrets == (HIDDEN,)


def test_equal_secrets_of_one_field_alone_look_equal() -> None:
    def two(a: list[SecretStr], b: SecretStr) -> None: ...

    first = json.loads(sealed(two, a=[HIDDEN, HIDDEN, "another one"], b=HIDDEN))
    assert first["a"][0] == first["a"][1] != first["a"][2]
    assert first["b"] != first["a"][0], "the field is part of it"
    assert json.loads(sealed(direct, a=HIDDEN))["a"] != first["a"][0], "the definition is part of it"


def test_a_set_is_sealed_the_same_whatever_its_order() -> None:
    values = json.loads(sealed(in_set, a={S(f"secret {number}") for number in range(30)}))["a"]
    assert values == sorted(values)


def test_arguments_are_known_by_their_own_names_and_by_their_aliases() -> None:
    def aliased(password: SecretStr = Field(alias="passWord"), inner: Named | None = None) -> None: ...

    definition = made(aliased)
    for name, inner in (("passWord", "passWord"), ("password", "pass_word")):
        values = definition.seal({name: HIDDEN, "inner": {inner: S(HIDDEN)}, "other": 5})
        assert masked(values) == {name: MASK, "inner": {inner: MASK}, "other": 5}


def test_a_sealed_value_opens_in_its_own_place_alone() -> None:
    def two(a: SecretStr, b: SecretStr) -> None: ...

    definition = made(two)
    values = json.loads(sealed(two, a=HIDDEN, b="another one"))
    swapped = json.dumps({"a": values["b"], "b": values["a"]})
    with pytest.raises(InvalidInputError, match=r"the secret at a cannot be opened: .* for another field"):
        definition.parse(swapped)
    changed = json.dumps({**values, "a": values["a"][:-4] + "AAAA"})
    with pytest.raises(InvalidInputError, match="cannot be opened"):
        definition.parse(changed)


def test_in_other_fields_a_sealed_value_is_text() -> None:
    def plain(a: str, b: SecretStr) -> None: ...

    definition = made(plain)
    value = json.loads(sealed(plain, a="x", b=HIDDEN))["b"]
    model = definition.parse(json.dumps({"a": value, "b": "y"}))
    assert definition.arguments(model)["a"] == value, "whoever can send it there could read what it says"


def test_keys_are_changed_by_putting_a_new_one_first() -> None:
    before = sealed(direct, Vault([KEY]), a=HIDDEN)
    both = made(direct, Vault([OTHER, KEY]))
    again = both.encode(both.parse(before))
    assert again != before
    new = made(direct, Vault([OTHER]))
    assert new.arguments(new.parse(again)) == both.arguments(both.parse(before)) == {"a": SecretStr(HIDDEN)}
    with pytest.raises(InvalidInputError, match=r"not among BACKYARD_SECRET_KEYS\. Put the key back") as caught:
        made(direct, Vault([OTHER])).parse(before)
    assert HIDDEN not in caught.value.message


def test_the_vault_shows_nothing_of_its_keys() -> None:
    assert KEY not in repr(VAULT)
    with pytest.raises(ClosedError):
        VAULT.open("sealed:1:00000000:AAAA", "")
    with pytest.raises(ClosedError):
        VAULT.open("no such thing", "")


def test_the_mask_is_no_secret() -> None:
    definition = made(direct)
    with pytest.raises(InvalidInputError, match="a is the mask of a secret, and not one"):
        definition.encode(definition.parse(json.dumps({"a": MASK})))


def test_a_form_sends_masks_back_for_the_secrets_it_was_shown() -> None:
    definition = made(in_list)
    before = sealed(in_list, a=[{"user": "ada", "password": HIDDEN}, {"user": "bob", "password": "of bob"}])
    shown = masked(json.loads(before))
    shown["a"][0]["user"] = "ADA"
    shown["a"][1]["password"] = "new"  # noqa: S105 - made up
    model = definition.parse(definition.restore(json.dumps(shown), before))
    (logins,) = definition.arguments(model).values()
    assert [(one.user, one.password.get_secret_value()) for one in logins] == [("ADA", HIDDEN), ("bob", "new")]


def test_a_secret_in_an_untyped_place_is_refused() -> None:
    def both(a: Any, b: SecretStr) -> None: ...

    definition = made(both)
    with pytest.raises(InvalidInputError, match="a holds a secret, and its type does not say so"):
        definition.encode(definition.bind((), {"a": SecretStr(HIDDEN), "b": "x"}))


def test_unique_tells_secrets_apart_and_hashes_none_of_them() -> None:
    import hashlib  # noqa: PLC0415 - what an attacker would do

    def send(to: str, password: SecretStr) -> None: ...

    for key in (None, "password", ("to", "password")):
        definition = made(send, unique="until_done", unique_key=key)
        marks = []
        for secret in (HIDDEN, HIDDEN, "another one"):
            model = definition.bind((), {"to": "ada", "password": secret})
            marks.append(definition.unique(model, definition.encode(model)))
        assert marks[0] == marks[1] != marks[2]
        guess = hashlib.sha256(json.dumps([HIDDEN]).encode()).hexdigest()[:32]
        assert guess not in marks[0]


@pytest.mark.parametrize("key", ["login", "login.password", "logins", "password"])
def test_a_secret_cannot_be_what_tasks_are_counted_by(key: str) -> None:
    def send(login: Login, logins: dict[str, Login], password: SecretStr) -> None: ...

    with pytest.raises(DefinitionError, match=rf"has concurrency_key='{key}', which is a secret"):
        made(send, concurrency_key=key)
    assert made(send, concurrency_key="login.user").policy.concurrency_key == "login.user"


def test_no_secrets_no_work() -> None:
    def plain(a: int) -> None: ...

    assert made(plain).shape.places is None
    assert made(plain, None).open(b'{"a": 1}') == (b'{"a": 1}', ())


def test_numbers_that_come_open_keep_their_digits() -> None:
    def pay(price: Annotated[str, Field(coerce_numbers_to_str=True)], password: SecretStr) -> None: ...

    text = '{"price": 12345678901234567890123, "password": "hunter2"}'
    assert made(pay).open(text)[0] is text


# -- out of sight ------------------------------------------------------------------------------------------------------


def test_masks_in_texts_and_values() -> None:
    value = VAULT.seal(b'"x"', "p")
    assert masked(f"password={value}, and so on") == f"password={MASK}, and so on"
    assert masked({"a": [value, 1, None], "b": "plain"}) == {"a": [MASK, 1, None], "b": "plain"}
    assert MASK in masked(value[:30]), "a cut one as well"


@pytest.mark.parametrize(
    "secret", ["plain-word", 'quote"and\\slash', "two\nlines", "smörgås", "at@and/slash&more", "it's"]
)
@pytest.mark.parametrize(
    "spell", [str, repr, json.dumps, quote, lambda text: f"https://x:{quote(text, safe='')}@host/"]
)
def test_scrubs_however_it_is_written(secret: str, spell: Callable[[str], str]) -> None:
    text = f"before {spell(secret)} after"
    clean = scrub(text, spellings([secret]))
    assert MASK in clean
    assert secret not in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")


def test_scrubs_each_part_of_what_holds_several() -> None:
    secrets = spellings([{"token": "abcdef", "more": ["ghijkl", 123456, True, None]}, "xy"])
    assert scrub("abcdef ghijkl 123456 xy True None", secrets) == f"{MASK} {MASK} {MASK} xy True None"
    assert scrubbed({"abcdef": ["ghijkl", 5]}, secrets) == {MASK: [MASK, 5]}


def test_the_longest_goes_first() -> None:
    for order in itertools.permutations(["secret", "secret-and-more"]):
        assert scrub("secret-and-more", spellings(order)) == MASK


# -- settings ----------------------------------------------------------------------------------------------------------


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKYARD_SECRET_KEYS", f" {KEY}, {OTHER} ,")
    found = load_settings()
    assert [key.get_secret_value() for key in found.secret_keys] == [KEY, OTHER]
    assert KEY not in repr(found)


def test_a_key_that_is_too_short_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKYARD_SECRET_KEYS", f"{KEY},tooshort")
    with pytest.raises(SettingsError, match=r"secret_keys: .*key 2 of 2 has 8 characters, and needs 32") as caught:
        load_settings()
    assert "tooshort" not in caught.value.message
    with pytest.raises(ValueError, match="needs 32") as raw:
        Settings.model_validate({"secret_keys": ["tooshort"]})
    assert "tooshort" not in str(raw.value)
