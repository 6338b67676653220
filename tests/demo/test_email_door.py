"""What is said about a mail before one is sent: addresses, servers, ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from backyard.core.errors import InvalidInputError
from backyard.demo.demo_yard import yard
from backyard.demo.mail.addresses import check_address
from backyard.demo.mail.definition import send_email
from backyard.demo.mail.delivery import MailDeferredError, MailRefusedError
from backyard.demo.mail.message import message_id
from backyard.demo.mail.server import Server, check_public_url
from backyard.settings import Settings

if TYPE_CHECKING:
    from demo.conftest import Place

LETTER: dict[str, Any] = {"to": ["ada@example.com"], "subject": "Hello", "text": "Dear Ada\n"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": []},
        {"to": ["ada"]},
        {"to": ["ada@"]},
        {"to": ["@example.com"]},
        {"to": ["Ada <ada@example.com>"]},
        {"to": ["ada@example.com\nBcc: eve@example.com"]},
        {"to": ["ada@example.com>\r\nRCPT TO:<eve@example.com"]},
        {"to": ["a b@example.com"]},
        {"to": ["a..b@example.com"]},
        {"to": ["ada@-example.com"]},
        {"to": ["ada@10.0.0.1"]},
        {"to": [f"{'a' * 65}@example.com"]},
        {"to": [f"a@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.{'f' * 60}"]},
        {"to": ["ada@example.com"] * 101},
        {"subject": "a\r\nBcc: eve@example.com"},
        {"sender_name": "a\nb"},
        {"sender": "nobody"},
        {"attachments": [{"name": "a"}]},
        {"attachments": [{"name": "a", "text": "x", "file": "id"}]},
        {"attachments": [{"name": "../a", "text": "x"}]},
        {"attachments": [{"name": "a\r\nX: y", "text": "x"}]},
        {"attachments": [{"name": "a", "text": "x", "content_type": "text/plain; charset=x"}]},
        {"attachments": [{"name": "a", "text": "x", "content_type": "message/rfc822"}]},
        {"attachments": [{"name": "a", "text": "x", "path": "/etc/passwd"}]},
        {"server": "smtp://ada:secret@example.com"},
        {"server": "http://example.com"},
        {"server": "smtp://"},
    ],
)
def test_what_makes_no_mail_is_refused_at_the_door(place: Place, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        send_email(place.ctx, **{**LETTER, **wrong})
    assert type(caught.value) is InvalidInputError


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("ada@example.com", "ada@example.com"),
        (" Ada+tag@EXAMPLE.com ", "Ada+tag@example.com"),
        ("root@localhost", "root@localhost"),
        ("jo@bücher.example", "jo@xn--bcher-kva.example"),
    ],
)
def test_addresses_are_brought_to_the_form_that_smtp_takes(given: str, taken: str) -> None:
    assert check_address(given) == taken


def test_server_urls_say_host_port_security_and_login() -> None:
    assert Server.from_url("smtp://mail.example.com") == Server("mail.example.com", 25, "none")
    assert Server.from_url("smtps://mail.example.com/") == Server("mail.example.com", 465, "tls")
    assert Server.from_url("smtp+starttls://a%40b:c%2Fd@[::1]:2525") == Server("::1", 2525, "starttls", "a@b", "c/d")
    assert Server.from_url("smtp://a:b@127.0.0.1").user == "a"
    assert "secret" not in repr(Server.from_url("smtps://ada:secret@example.com"))


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "smtp:mail",
        "smtp://ada:secret@example.com",
        "smtps://h:99999",
        "smtps://h/path",
        "smtps://h?a=b",
        "",
        "smtps://ada:secr%C3%A9t@h",
    ],
)
def test_server_urls_that_cannot_work_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it must not say is checked
        Server.from_url(url)
    assert "secr" not in str(caught.value)


def test_public_urls_hold_no_login() -> None:
    assert check_public_url("smtps://example.com") == "smtps://example.com"
    with pytest.raises(ValueError, match="would be recorded"):
        check_public_url("smtps://ada@example.com")


def test_message_ids_are_well_formed_for_any_task_id() -> None:
    assert message_id("0198-aa", "a@b.c") == "<0198-aa@b.c>"
    strange = message_id("no spaces, please>", "a@b.c")
    assert strange == message_id("no spaces, please>", "a@b.c")
    assert strange.count(">") == 1
    assert " " not in strange


def test_permanent_errors_are_those_that_no_policy_retries() -> None:
    assert issubclass(MailRefusedError, InvalidInputError)
    assert not issubclass(MailDeferredError, InvalidInputError)
    assert send_email.definition.policy.retries > 0


def test_a_setting_that_cannot_work_fails_the_task_for_good(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yard, "settings", Settings(smtp_url="smtp://ada:secret@mail.example.com"))
    with pytest.raises(MailRefusedError, match=r"BACKYARD_SMTP_URL cannot be used: the password would") as caught:
        send_email(place.ctx, **LETTER)
    assert "secret" not in str(caught.value)
