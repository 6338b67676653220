"""Every mail here goes over a socket to a real SMTP server, which keeps what it got."""

from __future__ import annotations

import contextlib
import email.policy
import email.utils
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from backyard import Context
from backyard.core.errors import TaskCancelledError, UnknownFileError
from backyard.core.models import File
from backyard.demo.demo_yard import yard
from backyard.demo.mail import definition, delivery
from backyard.demo.mail.definition import EXAMPLE, send_email
from backyard.demo.mail.delivery import MailDeferredError, MailRefusedError
from backyard.settings import Settings
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from demo.conftest import Place

LETTER: dict[str, Any] = {"to": ["ada@example.com"], "subject": "Hello", "text": "Dear Ada\n"}
#: Binary that breaks whatever is not careful: every byte, bare line ends, lone dots, long runs.
NASTY = bytes(range(256)) * 50 + b"\r\n.\r\n\n.\n\r\r" + b"\x00" * 5_000 + b"=20.."


class Mailbox:
    """Keeps mails, and answers some addresses in a way of their own."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.secured: list[bool] = []
        self.data_answers: list[str] = []
        self.quit_answer = "221 Bye"
        self.drop_after_data = False

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802, ARG002 - aiosmtpd's name and arguments
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("full@"):
            return "452 4.2.2 mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002 - the same
        answer = self.data_answers.pop(0) if self.data_answers else "250 OK"
        if answer.startswith("250"):
            self.envelopes.append(envelope)
            self.secured.append(server.transport.get_extra_info("ssl_object") is not None)
        if self.drop_after_data:
            self.drop_after_data = False
            server.transport.abort()
        return answer

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002 - the same
        return self.quit_answer

    @property
    def mails(self) -> list[EmailMessage]:
        return [email.message_from_bytes(envelope.content, policy=email.policy.default) for envelope in self.envelopes]


def check_login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:  # noqa: ARG001
    return AuthResult(success=(data.login, data.password) == (b"ada", b"p@ss:/word"), handled=False)


@contextlib.contextmanager
def serving(mailbox: Mailbox, **options: Any) -> Iterator[int]:
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), ready_timeout=60, **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: trustme.CA) -> Callable[..., None]:
    """Point the yard at a mail server; its authority is trusted unless said otherwise."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))

    def set_server(url: str, ca: Path | None = path) -> None:
        monkeypatch.setattr(yard, "settings", Settings(smtp_url=url, smtp_ca=ca))

    return set_server


@pytest.fixture
def plain(mailbox: Mailbox, use: Callable[..., None]) -> Iterator[int]:
    with serving(mailbox) as port:
        use(f"smtp://127.0.0.1:{port}")
        yield port


@pytest.mark.usefixtures("plain")
def test_a_mail_arrives_with_all_its_parts(place: Place, mailbox: Mailbox) -> None:
    result = send_email(
        place.ctx,
        to=["ada@example.com", "bob@example.com"],
        cc=["cy@example.com"],
        bcc=["dee@example.com"],
        subject="Grüße, Ada",
        text="Zeile eins\n.\n..Zeile zwei äöü\n",
        html="<p>Grüße</p>",
        sender="yard@example.com",
        sender_name="Der Hof, e.V.",
        attachments=[
            {"name": "nasty.bin", "file": place.upload(NASTY)},
            {"name": "Übersicht 2025.pdf", "file": place.upload(b"%PDF-1.7 \xff"), "content_type": "application/pdf"},
            {"name": "notes.txt", "text": "tabs\t, Umlaute äöü\r\nand bare\nends"},
        ],
    )
    (envelope,), (mail,) = mailbox.envelopes, mailbox.mails
    assert envelope.mail_from == "yard@example.com"
    assert envelope.rcpt_tos == ["ada@example.com", "bob@example.com", "cy@example.com", "dee@example.com"]
    assert (result.accepted, result.refused) == (envelope.rcpt_tos, [])
    assert mail["Subject"] == "Grüße, Ada"
    assert mail["From"].addresses[0].display_name == "Der Hof, e.V."
    assert mail["To"] == "ada@example.com, bob@example.com"
    assert mail["Cc"] == "cy@example.com"
    assert b"dee@" not in envelope.content
    assert mail["Message-ID"] == result.message_id == f"<{place.ctx.task_id}@example.com>"
    assert email.utils.parsedate_to_datetime(mail["Date"]).tzinfo is not None
    bodies = [mail.get_body((kind,)) for kind in ("plain", "html")]
    texts = [body.get_content().splitlines() for body in bodies if body is not None]
    assert texts == [["Zeile eins", ".", "..Zeile zwei äöü"], ["<p>Grüße</p>"]]
    attached = [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in mail.iter_attachments()
    ]
    assert attached == [
        ("nasty.bin", "application/octet-stream", NASTY),
        ("Übersicht 2025.pdf", "application/pdf", b"%PDF-1.7 \xff"),
        ("notes.txt", "text/plain", "tabs\t, Umlaute äöü\r\nand bare\nends".encode()),
    ]


@pytest.mark.usefixtures("plain")
def test_the_example_is_a_mail_that_can_be_sent(place: Place, mailbox: Mailbox) -> None:
    send_email(place.ctx, **EXAMPLE)
    assert mailbox.mails[0]["Subject"] == "Your report"


@pytest.mark.usefixtures("plain")
def test_a_recipient_named_twice_gets_one_mail(place: Place, mailbox: Mailbox) -> None:
    send_email(place.ctx, **LETTER, cc=["ada@example.com"], bcc=["ada@EXAMPLE.com"])
    assert mailbox.envelopes[0].rcpt_tos == ["ada@example.com"]


def test_starttls_with_a_private_authority(
    place: Place, mailbox: Mailbox, use: Callable[..., None], server_context: ssl.SSLContext
) -> None:
    with serving(mailbox, tls_context=server_context, require_starttls=True) as port:
        use(f"smtp+starttls://localhost:{port}")
        send_email(place.ctx, **LETTER)
    assert mailbox.secured == [True]


def test_tls_from_the_first_byte(
    place: Place, mailbox: Mailbox, use: Callable[..., None], server_context: ssl.SSLContext
) -> None:
    with serving(mailbox, ssl_context=server_context) as port:
        use(f"smtps://localhost:{port}")
        send_email(place.ctx, **LETTER)
    assert mailbox.secured == [True]


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_certificate_nobody_vouches_for_is_refused_for_good(
    place: Place, mailbox: Mailbox, use: Callable[..., None], server_context: ssl.SSLContext, scheme: str
) -> None:
    tls = {"ssl_context": server_context} if scheme == "smtps" else {"tls_context": server_context}
    with serving(mailbox, **tls) as port:
        use(f"{scheme}://localhost:{port}", ca=None)
        with pytest.raises(MailRefusedError, match=r"is not who it should be.*BACKYARD_SMTP_CA"):
            send_email(place.ctx, **LETTER)
    assert mailbox.envelopes == []


def test_a_certificate_of_another_name_is_refused_for_good(
    place: Place, mailbox: Mailbox, use: Callable[..., None], server_context: ssl.SSLContext
) -> None:
    with serving(mailbox, ssl_context=server_context) as port:
        use(f"smtps://127.0.0.1:{port}")
        with pytest.raises(MailRefusedError, match="is not who it should be"):
            send_email(place.ctx, **LETTER)


def test_a_server_without_starttls_gets_nothing_in_the_clear(
    place: Place, mailbox: Mailbox, use: Callable[..., None]
) -> None:
    with serving(mailbox) as port:
        use(f"smtp+starttls://localhost:{port}")
        with pytest.raises(MailRefusedError, match="cannot do what BACKYARD_SMTP_URL asks"):
            send_email(place.ctx, **LETTER)
    assert mailbox.envelopes == []


def test_an_authority_that_cannot_be_read_is_named(
    place: Place, mailbox: Mailbox, use: Callable[..., None], server_context: ssl.SSLContext, tmp_path: Path
) -> None:
    with serving(mailbox, ssl_context=server_context) as port:
        for path in (tmp_path / "missing.pem", tmp_path):
            use(f"smtps://localhost:{port}", ca=path)
            with pytest.raises(MailRefusedError, match=r"BACKYARD_SMTP_CA=.* cannot be read"):
                send_email(place.ctx, **LETTER)


def test_login_with_a_password_full_of_signs(
    place: Place, mailbox: Mailbox, use: Callable[..., None], server_context: ssl.SSLContext
) -> None:
    options = {
        "tls_context": server_context,
        "require_starttls": True,
        "authenticator": check_login,
        "auth_required": True,
    }
    with serving(mailbox, **options) as port:
        use(f"smtp+starttls://ada:p%40ss%3A%2Fword@localhost:{port}")
        send_email(place.ctx, **LETTER)
        use(f"smtp+starttls://ada:wrong@localhost:{port}")
        with pytest.raises(MailRefusedError, match="535") as caught:
            send_email(place.ctx, **LETTER)
    assert "wrong" not in str(caught.value)
    assert len(mailbox.envelopes) == 1


@pytest.mark.usefixtures("mailbox", "plain")
def test_some_recipients_refused_the_others_get_it(place: Place) -> None:
    result = send_email(
        place.ctx, to=["nobody@example.com", "ada@example.com"], cc=["full@example.com"], subject="", text="x"
    )
    assert result.accepted == ["ada@example.com"]
    assert [(row.address, row.code) for row in result.refused] == [
        ("nobody@example.com", 550),
        ("full@example.com", 452),
    ]
    assert "no such mailbox" in result.refused[0].message


@pytest.mark.usefixtures("mailbox", "plain")
def test_all_recipients_refused_for_good(place: Place) -> None:
    with pytest.raises(
        MailRefusedError, match=r"none of the recipients: nobody@example.com: 550 5.1.1 no such mailbox"
    ):
        send_email(place.ctx, to=["nobody@example.com"], subject="", text="x")


@pytest.mark.usefixtures("mailbox", "plain")
def test_a_full_mailbox_may_be_empty_later(place: Place) -> None:
    with pytest.raises(MailDeferredError, match=r"452 4\.2\.2 mailbox full"):
        send_email(place.ctx, to=["full@example.com", "nobody@example.com"], subject="", text="x")


@pytest.mark.parametrize(
    ("answer", "error"), [("451 4.3.0 try later", MailDeferredError), ("554 5.7.1 spam", MailRefusedError)]
)
@pytest.mark.usefixtures("plain")
def test_the_answer_to_the_content_decides(place: Place, mailbox: Mailbox, answer: str, error: type[Exception]) -> None:
    mailbox.data_answers = [answer]
    with pytest.raises(error, match=answer):
        send_email(place.ctx, **LETTER)
    result = send_email(place.ctx, **LETTER)
    assert mailbox.mails[0]["Message-ID"] == result.message_id


@pytest.mark.usefixtures("plain")
def test_a_mail_that_may_have_been_taken_comes_again_under_the_same_id(place: Place, mailbox: Mailbox) -> None:
    """The connection breaks after the server took the mail and before it said so: SMTP cannot tell these apart."""
    mailbox.drop_after_data = True
    with pytest.raises(MailDeferredError):
        send_email(place.ctx, **LETTER)
    send_email(place.ctx, **LETTER)
    first, second = mailbox.mails
    assert first["Message-ID"] == second["Message-ID"]


@pytest.mark.parametrize("answer", ["421 shutting down", "554 go away"])
@pytest.mark.usefixtures("plain")
def test_a_rude_parting_does_not_unsend_a_mail(place: Place, mailbox: Mailbox, answer: str) -> None:
    mailbox.quit_answer = answer
    assert send_email(place.ctx, **LETTER).accepted == ["ada@example.com"]
    assert len(mailbox.envelopes) == 1


def test_a_mail_too_large_for_the_server_is_refused_for_good(
    place: Place, mailbox: Mailbox, use: Callable[..., None]
) -> None:
    with serving(mailbox, data_size_limit=10_000) as port:
        use(f"smtp://127.0.0.1:{port}")
        with pytest.raises(MailRefusedError, match="552"):
            send_email(place.ctx, **LETTER, attachments=[{"name": "big", "text": "x" * 20_000}])


def test_no_server_is_a_reason_to_try_later(place: Place, use: Callable[..., None]) -> None:
    use(f"smtp://127.0.0.1:{free_port()}")
    with pytest.raises(MailDeferredError, match="cannot be reached"):
        send_email(place.ctx, **LETTER)


@pytest.mark.parametrize(
    ("greeting", "error"),
    [(b"", MailDeferredError), (b"421 busy\r\n", MailDeferredError), (b"554 no\r\n", MailRefusedError)],
)
def test_a_silent_or_unwilling_server_is_not_waited_for(
    place: Place, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch, greeting: bytes, error: type[Exception]
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT", 30.0 if greeting else 0.2)  # one that speaks gets time for it
    with socket.create_server(("127.0.0.1", 0)) as listener:
        use(f"smtp://127.0.0.1:{listener.getsockname()[1]}")

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(greeting)
                connection.recv(100)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(error):
            send_email(place.ctx, **LETTER)
        thread.join()


def test_the_server_may_be_named_without_secrets(
    place: Place, mailbox: Mailbox, plain: int, use: Callable[..., None]
) -> None:
    use("smtp://127.0.0.1:1")
    send_email(place.ctx, **LETTER, server=f"smtp://127.0.0.1:{plain}")
    assert len(mailbox.envelopes) == 1


@pytest.mark.usefixtures("plain")
def test_attachments_have_a_limit_together(place: Place, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition, "MAX_ATTACHED", 1_000)
    fits = [{"name": "a", "text": "x" * 500}, {"name": "b", "file": place.upload(b"y" * 500)}]
    send_email(place.ctx, **LETTER, attachments=fits)
    with pytest.raises(MailRefusedError, match="more than 1,000 bytes"):
        send_email(place.ctx, **LETTER, attachments=[*fits, {"name": "c", "text": "z"}])
    assert len(mailbox.envelopes) == 1


class Cancelled(Context):
    """Cancelled from the start."""

    @property
    def cancelled(self) -> bool:
        return True


@pytest.mark.usefixtures("plain")
def test_a_mail_cancelled_before_it_is_handed_over_is_not_sent(tmp_path: Path, mailbox: Mailbox) -> None:
    with pytest.raises(TaskCancelledError):
        send_email(Cancelled.local(tmp_path), **LETTER)
    assert mailbox.envelopes == []


@pytest.mark.usefixtures("plain")
def test_an_unknown_file_sends_nothing(place: Place, mailbox: Mailbox) -> None:
    missing = File(id="0" * 32)
    with pytest.raises(UnknownFileError):
        send_email(place.ctx, **LETTER, attachments=[{"name": "a", "file": missing}])
    assert mailbox.envelopes == []
