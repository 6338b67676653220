"""Composing a message: headers, bodies and attachments."""

import hashlib
import mimetypes
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

DOT_ATOM = re.compile(r"[A-Za-z0-9_-]{1,100}(\.[A-Za-z0-9_-]{1,100})*")


@dataclass(frozen=True)
class Part:
    """An attachment with its content at hand."""

    name: str
    content: bytes
    content_type: str | None = None
    charset: str | None = None


@dataclass(frozen=True)
class Letter:
    """What the sender wrote."""

    sender: str
    sender_name: str
    to: list[str]
    cc: list[str]
    subject: str
    text: str
    html: str | None


def message_id(task_id: str, sender: str) -> str:
    """Return the Message-ID of a task's mail: the same on every attempt.

    A server that took the mail and died before saying so gets it again on the next attempt; by this id the mailbox
    can tell that both are one.
    """
    local = task_id if DOT_ATOM.fullmatch(task_id) else hashlib.sha256(task_id.encode()).hexdigest()
    return f"<{local}@{sender.rpartition('@')[2]}>"


def compose(letter: Letter, parts: list[Part], identifier: str) -> EmailMessage:
    """Compose a message. Blind copies are no part of it: they are named to the server alone.

    Args:
        letter: What the sender wrote.
        parts: The attachments.
        identifier: The Message-ID.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = HeaderAddress(letter.sender_name, addr_spec=letter.sender)
    message["To"] = tuple(HeaderAddress(addr_spec=address) for address in letter.to)
    if letter.cc:
        message["Cc"] = tuple(HeaderAddress(addr_spec=address) for address in letter.cc)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = identifier
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: keeps holiday notices from answering
    message.set_content(letter.text)
    if letter.html is not None:
        message.add_alternative(letter.html, subtype="html")
    for part in parts:
        _attach(message, part)
    return message


def _attach(message: EmailMessage, part: Part) -> None:
    guessed = part.content_type or mimetypes.guess_type(part.name)[0] or "application/octet-stream"
    main, _, sub = guessed.partition("/")
    # Bytes, even for text: they arrive as they are, with their own line ends.
    parameters = {"charset": part.charset} if part.charset and main == "text" else None
    message.add_attachment(part.content, maintype=main, subtype=sub, filename=part.name, params=parameters)
