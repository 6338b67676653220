"""Handing a message to a mail server, and what its answers mean."""

import contextlib
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from backyard.core.errors import BackyardError, InvalidInputError
from backyard.demo.mail.server import Server

#: Seconds to wait for each answer of the server.
TIMEOUT = 30.0
PERMANENT = 500


class MailDeferredError(BackyardError):
    """The server cannot take the mail now; another attempt may succeed."""

    code = "mail_deferred"
    title = "The mail server cannot take the mail now"


class MailRefusedError(InvalidInputError):
    """The mail will not be taken, however often it is tried; as with other input that cannot work, nobody tries."""

    code = "mail_refused"
    title = "The mail server does not take the mail"


@dataclass(frozen=True)
class Refusal:
    """A recipient that the server did not take, and its answer."""

    address: str
    code: int
    message: str


def deliver(
    server: Server, message: EmailMessage, sender: str, recipients: list[str], authority: Path | None = None
) -> list[Refusal]:
    """Hand a message over once.

    Args:
        server: The mail server.
        message: The message.
        sender: Address of the envelope, to which failures are reported.
        recipients: All who shall have it, blind copies too.
        authority: A file of further certificates to trust, in PEM form.

    Returns:
        The recipients that the server did not take; it took the message for all others.

    Raises:
        MailDeferredError: Nothing was taken, for a reason that may pass.
        MailRefusedError: Nothing was taken, for a reason that will not pass.
    """
    with _explained(server):
        connection = _connect(server, authority)
        try:
            if server.user is not None:
                connection.login(server.user, server.password or "")
            answers = connection.send_message(message, sender, recipients)
            # The mail is taken by now: what happens at parting must not make it look unsent.
            with contextlib.suppress(smtplib.SMTPException, OSError):
                connection.quit()
        finally:
            connection.close()
    return _refusals(answers)


def _connect(server: Server, authority: Path | None) -> smtplib.SMTP:
    if server.security == "tls":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=_context(authority))
    connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)
    if server.security == "starttls":
        try:
            connection.starttls(context=_context(authority))
        except BaseException:
            connection.close()
            raise
    return connection


def _context(authority: Path | None) -> ssl.SSLContext:
    """Return a context that checks certificate and host name, against the system's authorities and the given ones."""
    context = ssl.create_default_context()
    if authority is not None:
        try:
            context.load_verify_locations(authority)
        except (OSError, ssl.SSLError) as error:
            raise MailRefusedError(f"BACKYARD_SMTP_CA={authority} cannot be read as certificates: {error}") from error
    return context


@contextlib.contextmanager
def _explained(server: Server) -> Iterator[None]:
    """Sort what can go wrong into what may pass and what will not."""
    place = f"The mail server {server.host}:{server.port}"
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        refusals = _refusals(error.recipients)
        shown = "; ".join(f"{row.address}: {row.code} {row.message}" for row in refusals[:5])
        kind = MailRefusedError if all(row.code >= PERMANENT for row in refusals) else MailDeferredError
        raise kind(f"{place} took none of the recipients: {shown}") from error
    except smtplib.SMTPResponseException as error:
        kind = MailRefusedError if error.smtp_code >= PERMANENT else MailDeferredError
        raise kind(f"{place} answered {error.smtp_code} {_words(error.smtp_error)}") from error
    except smtplib.SMTPNotSupportedError as error:
        raise MailRefusedError(f"{place} cannot do what BACKYARD_SMTP_URL asks of it: {error}") from error
    except ssl.SSLCertVerificationError as error:
        raise MailRefusedError(
            f"{place} is not who it should be: {error.verify_message}. Check its name, or name the file of its "
            "certificate authority in BACKYARD_SMTP_CA."
        ) from error
    except smtplib.SMTPServerDisconnected as error:
        raise MailDeferredError(f"{place} broke off: {error}") from error
    except smtplib.SMTPException as error:
        raise MailRefusedError(f"{place} cannot be talked to: {error}") from error
    except OSError as error:
        raise MailDeferredError(f"{place} cannot be reached, or broke off: {error}") from error


def _refusals(answers: dict[str, tuple[int, bytes]]) -> list[Refusal]:
    return [Refusal(address, code, _words(text)) for address, (code, text) in answers.items()]


def _words(answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return " ".join(text.split())[:300]
