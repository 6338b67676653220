from __future__ import annotations

import base64
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backyard.core.errors import ExpiredLinkError, UnknownLinkError
from backyard.core.public_link import KEY_LENGTH, PublicLink, read, sign

KEY = bytes(range(KEY_LENGTH))
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
LINK = PublicLink("0193-task", NOW + timedelta(hours=1))


@given(task_id=st.text(min_size=1, max_size=128), artifacts=st.booleans(), result=st.booleans())
def test_what_was_signed_is_read(task_id: str, *, artifacts: bool, result: bool) -> None:
    link = PublicLink(task_id, NOW + timedelta(seconds=1), artifacts=artifacts, result=result)

    assert read(sign(link, KEY), KEY, NOW) == link


def test_a_token_is_a_part_of_a_path() -> None:
    assert base64.urlsafe_b64encode(b"").decode() == ""
    assert set(sign(LINK, KEY)) <= set(LETTERS)


def test_each_changed_byte_makes_it_void() -> None:
    token = sign(LINK, KEY)
    text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for place in range(len(text)):
        other = bytearray(text)
        other[place] ^= 1
        with pytest.raises(UnknownLinkError):
            read(base64.urlsafe_b64encode(other).decode().rstrip("="), KEY, NOW)


@pytest.mark.parametrize("length", [9, 10, 11])
def test_each_changed_letter_makes_it_void(length: int) -> None:
    token = sign(replace(LINK, task_id="x" * length), KEY)
    for place, letter in itertools.product(range(len(token)), LETTERS):
        if token[place] != letter:
            with pytest.raises(UnknownLinkError):
                read(token[:place] + letter + token[place + 1 :], KEY, NOW)


def test_another_yards_key_makes_it_void() -> None:
    with pytest.raises(UnknownLinkError):
        read(sign(LINK, KEY), KEY[::-1], NOW)


@pytest.mark.parametrize("token", ["", "x", "not a token", "ä", "A" * 22, "A" * 10_000, "%00"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(UnknownLinkError):
        read(token, KEY, NOW)


def test_its_time_ends() -> None:
    token = sign(LINK, KEY)

    assert read(token, KEY, LINK.expires - timedelta(seconds=1)) == LINK
    with pytest.raises(ExpiredLinkError, match="2026-11-30 13:00"):
        read(token, KEY, LINK.expires)
