"""Every setting of a yard: default, help and bounds in one row, cross-field rules below."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from backyard.core.errors import SettingsError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """What can be set, from the environment (``BACKYARD_`` plus the name) or by argument.

    Raises:
        pydantic.ValidationError: A value is out of bounds, or two values do not fit together.
    """

    model_config = SettingsConfigDict(env_prefix="BACKYARD_", extra="forbid", populate_by_name=True, frozen=True)

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
    redis_timeout: Annotated[
        float, Field(gt=0, le=60, description="Seconds before an unanswered Redis command counts as failed.")
    ] = 2.0
    concurrency: Annotated[int | None, Field(ge=1, description="Tasks a worker runs at once. Unset: its cores.")] = None
    host: Annotated[str, Field(description="Address the API listens on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535, description="Port of the API.")] = 8_000
    flower_port: Annotated[int, Field(ge=0, le=65_535, description="Port of Flower.")] = 5_555
    open: Annotated[bool, Field(description="The network is trusted: serve without keys on any address.")] = False
    smtp_url: Annotated[
        str, Field(description="Mail server of the demo: smtp://, smtps:// or smtp+starttls://user:password@host:port.")
    ] = "smtp://127.0.0.1:1025"
    smtp_ca: Annotated[
        Path | None,
        Field(description="PEM file of a certificate authority to trust for the mail server, besides the system's."),
    ] = None

    @field_validator("redis_url", "files_url")
    @classmethod
    def _empty_is_unset(cls, value: str | None) -> str | None:
        return value or None

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
