"""Every setting of a yard: default, help and bounds in one row, cross-field rules below."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import Url
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backyard.core.errors import SettingsError
from backyard.core.webhooks import HOW_TO_MAKE_ONE, checked_url, key_of

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
#: Characters of a key for secrets, at least: of random letters and digits, they are more than enough for 128 bits.
SHORTEST_KEY = 32


class Settings(BaseSettings):
    """What can be set, from the environment (``BACKYARD_`` plus the name) or by argument.

    Raises:
        pydantic.ValidationError: A value is out of bounds, or two values do not fit together.
    """

    model_config = SettingsConfigDict(
        env_prefix="BACKYARD_", extra="forbid", populate_by_name=True, frozen=True,
        # A value that cannot work may be a key or a URL with a password, and errors end up in logs.
        hide_input_in_errors=True,
    )  # fmt: skip

    redis_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices("BACKYARD_REDIS_URL", "REDIS_URL"),
            description="Redis server of the ledger. Unset: the embedded server of the data directory.",
        ),
    ] = None
    data_dir: Annotated[Path, Field(description="Folder of the embedded server's data and of local files.")] = Path(
        ".backyard"
    )
    files_url: Annotated[
        str | None,
        Field(description="Where files and artifacts live: a folder, file:// or s3://bucket/prefix."),
    ] = None
    history_url: Annotated[
        str | None,
        Field(
            description="Database of the history: postgresql://user:password@host/database, or sqlite:///file. "
            "Unset: a file of SQLite in the data directory."
        ),
    ] = None
    keep_success: Annotated[
        float, Field(ge=60, description="Seconds the history keeps a task that succeeded; 30 days.")
    ] = 2_592_000
    keep_failure: Annotated[
        float, Field(ge=60, description="Seconds the history keeps a task that failed; 90 days.")
    ] = 7_776_000
    keep_revoked: Annotated[
        float, Field(ge=60, description="Seconds the history keeps a task that was cancelled; 30 days.")
    ] = 2_592_000
    keep_audit: Annotated[
        float, Field(ge=60, description="Seconds the history keeps audit lines and webhook deliveries; a year.")
    ] = 31_536_000
    background_nice: Annotated[
        int,
        Field(ge=0, le=19, description="How far keeper and Flower stand back where the machine is full; 0 not at all."),
    ] = 10
    result_expires: Annotated[
        int,
        Field(
            ge=1,
            validation_alias=AliasChoices("BACKYARD_RESULT_EXPIRES", "CELERY_RESULT_EXPIRES"),
            description="Seconds a final task's record is kept in the ledger.",
        ),
    ] = 86_400
    idempotency_expires: Annotated[int, Field(ge=1, description="Seconds an Idempotency-Key is remembered.")] = 86_400
    max_body: Annotated[int, Field(ge=1_024, description="Largest JSON request body, in bytes.")] = 1_048_576
    max_upload: Annotated[int, Field(ge=1_024, description="Largest uploaded file, in bytes.")] = 1_073_741_824
    lease: Annotated[float, Field(ge=1, le=3_600, description="Seconds a silent worker keeps its tasks.")] = 10.0
    crash_limit: Annotated[
        int, Field(ge=1, le=1_000, description="Times a task's own process may die under it before it is quarantined.")
    ] = 3
    loss_limit: Annotated[
        int, Field(ge=1, le=1_000, description="Times a task's whole worker may die under it before it is quarantined.")
    ] = 10
    stop_grace: Annotated[
        float,
        Field(
            ge=0, le=86_400, description="Seconds running tasks get when a worker is told to stop; the rest goes back."
        ),
    ] = 30.0
    alive_file: Annotated[
        Path | None, Field(description="File in which a worker shows that it is alive, for `backyard alive` to read.")
    ] = None
    cancel_grace: Annotated[
        float, Field(ge=0, le=86_400, description="Seconds a cancelled task gets to stop before its process is killed.")
    ] = 10.0
    max_running: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="Tasks running at once, over all workers. Unset: any number.")
    ] = None
    max_queued: Annotated[
        int | None, Field(ge=1, description="Tasks a queue may hold; more are refused with 429. Unset: any number.")
    ] = None
    queue_limits: Annotated[
        dict[str, Annotated[int, Field(ge=1)]],
        Field(description='The same for single queues, as JSON: {"reports": 1000}.'),
    ] = {}
    events_kept: Annotated[int, Field(ge=1_000, description="Events kept on the stream, about.")] = 100_000
    events_waiting: Annotated[
        int,
        Field(
            ge=10_000,
            description="Events that may wait for the keeper while the history is away; beyond, the oldest are lost.",
        ),
    ] = 2_000_000
    task_log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical", "off"],
        Field(description="Least serious level of `logging` output kept with a task; off keeps `ctx.log` only."),
    ] = "info"
    task_log_max: Annotated[
        int, Field(ge=1_024, le=67_108_864, description="Bytes of log lines kept of one attempt; the rest is left out.")
    ] = 262_144
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        Field(description="Least serious level of what workers, API and keeper log."),
    ] = "info"
    log_format: Annotated[
        Literal["console", "json"], Field(description="How they log: console for people, json for machines.")
    ] = "console"
    redis_timeout: Annotated[
        float, Field(gt=0, le=60, description="Seconds before an unanswered Redis command counts as failed.")
    ] = 2.0
    concurrency: Annotated[int | None, Field(ge=1, description="Tasks a worker runs at once. Unset: its cores.")] = None
    async_concurrency: Annotated[
        int,
        Field(ge=1, le=100_000, description="`async def` tasks a worker runs at once, beside those, in one process."),
    ] = 1_000
    host: Annotated[str, Field(description="Address the API listens on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535, description="Port of the API.")] = 8_000
    flower_port: Annotated[int, Field(ge=0, le=65_535, description="Port of Flower.")] = 5_555
    flower_url: Annotated[
        str | None,
        Field(
            description="Where browsers find Flower, for the console's link to it. `backyard up` sets it for its own.",
        ),
    ] = None
    open: Annotated[bool, Field(description="The network is trusted: serve without keys on any address.")] = False
    secret_keys: Annotated[
        tuple[SecretStr, ...],
        NoDecode,
        Field(
            description="Keys that secret inputs travel under, separated by commas; the first seals, all of them open. "
            f"Each is random text of {SHORTEST_KEY} characters or more, as from "
            '`python -c "import secrets; print(secrets.token_urlsafe(48))"`. Unset: tasks cannot take secrets.'
        ),
    ] = ()
    webhook_secret: Annotated[
        SecretStr | None,
        Field(
            description="Key that signs messages to the webhooks of definitions and submits: whsec_ and the base64 of "
            "24 to 64 random bytes. Unset: they can name no webhook."
        ),
    ] = None
    webhook_private: Annotated[
        bool, Field(description="Webhooks may go to private addresses as well, such as this machine's own.")
    ] = False
    smtp_url: Annotated[
        str, Field(description="Mail server of the demo: smtp://, smtps:// or smtp+starttls://user:password@host:port.")
    ] = "smtp://127.0.0.1:1025"
    smtp_ca: Annotated[
        Path | None,
        Field(description="PEM file of a certificate authority to trust for the mail server, besides the system's."),
    ] = None

    @field_validator("redis_url", "files_url", "history_url", "flower_url")
    @classmethod
    def _empty_is_unset(cls, value: str | None) -> str | None:
        return value or None

    @field_validator("flower_url")
    @classmethod
    def _check_flower_url(cls, value: str | None) -> str | None:
        if value is not None and Url(value).scheme not in ("http", "https"):
            raise ValueError("write http://host:port or https://host/path")
        return value

    @field_validator("secret_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: Any) -> Any:
        return [key.strip() for key in value.split(",") if key.strip()] if isinstance(value, str) else value

    @field_validator("secret_keys")
    @classmethod
    def _check_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, key in enumerate(value, 1):
            if len(key) < SHORTEST_KEY:
                message = (
                    f"key {number} of {len(value)} has {len(key)} characters, and needs {SHORTEST_KEY}. Make one with "
                    'python -c "import secrets; print(secrets.token_urlsafe(48))"'
                )
                raise ValueError(message)
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        key_of(value.get_secret_value())
        return value

    def checked_webhook(self, url: str) -> str:
        """Return the URL of a definition's or a submit's webhook in its normal form.

        Raises:
            ValueError: It cannot be told of tasks; the text says why, and what to do.
        """
        if self.webhook_secret is None:
            raise ValueError(
                "there is no key to sign its messages with. Set BACKYARD_WEBHOOK_SECRET, which its receiver needs as "
                f"well. This makes one: {HOW_TO_MAKE_ONE}"
            )
        return checked_url(url, private=self.webhook_private)

    def most_queued(self, queue: str) -> int | None:
        """Return how many tasks a queue may hold; None is any number."""
        return self.queue_limits.get(queue, self.max_queued)

    @model_validator(mode="after")
    def _only_loopback_without_login(self) -> Self:
        if self.host not in LOOPBACK and not self.open:
            message = (
                f"BACKYARD_HOST={self.host} would serve everyone who can reach this machine, with no login. "
                "Use 127.0.0.1, or set BACKYARD_OPEN=1 if the network is trusted."
            )
            raise ValueError(message)
        return self


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: A variable has a value that cannot work; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in row['loc']) or 'settings'}: {row['msg']}" for row in error.errors()]
        raise SettingsError("These settings cannot work:\n  " + "\n  ".join(lines)) from None
