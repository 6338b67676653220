"""``send_email``: one mail, through a real mail server."""

from email.message import EmailMessage
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from backyard import Context, File, TaskCancelledError
from backyard.demo.demo_yard import yard
from backyard.demo.mail.addresses import Address
from backyard.demo.mail.delivery import MailRefusedError, Refusal, deliver
from backyard.demo.mail.message import Letter, Part, compose, message_id
from backyard.demo.mail.server import Server, check_public_url

MAX_RECIPIENTS = 100
#: What most mail servers take, in bytes, before base64 adds a third.
MAX_ATTACHED = 18 * 1024 * 1024
ONE_LINE = r"^[^\x00-\x1f\x7f\u2028\u2029]*$"


class Attachment(BaseModel):
    """An uploaded file or a text, under the name the receiver shall see."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=150, pattern=r"^[^\x00-\x1f\x7f/\\]+$", examples=["notes.txt"])
    file: File | None = Field(default=None, description="Id of an uploaded file")
    text: str | None = Field(default=None, max_length=500_000, description="Or the content itself, as text")
    content_type: str | None = Field(
        default=None,
        max_length=100,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$",
        description="Media type; without one it is guessed from the name",
    )

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.file is None) == (self.text is None):
            raise ValueError("give either a file or a text")
        if self.content_type and self.content_type.lower().startswith(("multipart/", "message/")):
            raise ValueError("multipart/* and message/* cannot be attached as bytes: use application/octet-stream")
        return self


class RefusedRecipient(BaseModel):
    """A recipient that the server did not take. A code of 4xx may pass: submit again for that recipient alone."""

    address: str
    code: int
    message: str


class EmailResult(BaseModel):
    """What the mail server took."""

    message_id: str = Field(description="Message-ID of the mail; the same for every attempt of this task")
    accepted: list[str] = Field(description="Recipients the server took the mail for")
    refused: list[RefusedRecipient] = Field(description="Recipients it did not take")
    size: int = Field(description="Size of the mail, in bytes")


EXAMPLE = {
    "to": ["ada@example.com"],
    "subject": "Your report",
    "text": "Dear Ada,\n\nhere it is.\n",
    "attachments": [{"name": "notes.txt", "text": "Made by Backyard."}],
}


@yard.task(timeout=300, retries=5, backoff=5, backoff_max=300, example=EXAMPLE)
def send_email(  # noqa: PLR0913, PLR0917 - a mail has this many parts
    ctx: Context,
    to: Annotated[list[Address], Field(min_length=1, max_length=MAX_RECIPIENTS)],
    subject: Annotated[str, Field(max_length=500, pattern=ONE_LINE)],
    text: Annotated[str, Field(max_length=500_000, description="The mail as plain text")],
    html: Annotated[str | None, Field(max_length=500_000, description="The same as HTML")] = None,
    cc: Annotated[list[Address], Field(max_length=MAX_RECIPIENTS)] = [],  # noqa: B006 - read only, and shown in the schema
    bcc: Annotated[list[Address], Field(max_length=MAX_RECIPIENTS, description="Hidden from the others")] = [],  # noqa: B006
    sender: Address = "backyard@localhost",
    sender_name: Annotated[str, Field(max_length=100, pattern=ONE_LINE)] = "Backyard",
    attachments: Annotated[list[Attachment], Field(max_length=20)] = [],  # noqa: B006
    server: Annotated[
        str | None,
        Field(
            max_length=300, description="Mail server as a URL without user and password, instead of BACKYARD_SMTP_URL"
        ),
        AfterValidator(lambda url: url if url is None else check_public_url(url)),
    ] = None,
) -> EmailResult:
    """Send one mail with attachments.

    The server is the one of BACKYARD_SMTP_URL: smtp://, smtp+starttls:// or smtps://, its certificate always checked.
    If it cannot take the mail now, the task tries again later with the same Message-ID; if it says never, the
    task fails at once. A mail that some recipients were refused is sent to the others, and the result names them.
    """
    letter = Letter(sender, sender_name, to, cc, subject, text, html)
    ctx.progress(0, 2, "Composing")
    message = compose(letter, _parts(ctx, attachments), message_id(ctx.task_id, sender))
    recipients = list(dict.fromkeys([*to, *cc, *bcc]))
    chosen = _server(server)
    ctx.progress(1, 2, f"Handing over to {chosen.host}")
    if ctx.cancelled:  # the last moment for it: once the server has the mail, it is sent
        raise TaskCancelledError("The task was cancelled before the mail was sent.")
    return _result(message, recipients, deliver(chosen, message, sender, recipients, yard.settings.smtp_ca))


def _result(message: EmailMessage, recipients: list[str], refusals: list[Refusal]) -> EmailResult:
    gone = {row.address for row in refusals}
    return EmailResult(
        message_id=message["Message-ID"],
        accepted=[address for address in recipients if address not in gone],
        refused=[RefusedRecipient(address=row.address, code=row.code, message=row.message) for row in refusals],
        size=len(message.as_bytes()),
    )


def _server(url: str | None) -> Server:
    try:
        return Server.from_url(url or yard.settings.smtp_url)
    except ValueError as error:
        raise MailRefusedError(f"BACKYARD_SMTP_URL cannot be used: {error}.") from None


def _parts(ctx: Context, attachments: list[Attachment]) -> list[Part]:
    """Bring the attachments' contents to hand, as long as they fit into a mail."""
    parts: list[Part] = []
    left = MAX_ATTACHED
    for row in attachments:
        if row.file is None:
            content, charset = (row.text or "").encode(), "utf-8"
        else:
            with ctx.open(row.file) as stream:
                content, charset = stream.read(left + 1), None
        left -= len(content)
        if left < 0:
            raise MailRefusedError(
                f"The attachments have more than {MAX_ATTACHED:,} bytes. Send a link to them instead."
            )
        parts.append(Part(row.name, content, row.content_type, charset))
    return parts
