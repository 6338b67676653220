"""Every error Backyard raises on purpose.

BackyardError                     500  anything below
├── DefinitionError               -    a wrong declaration, refused at import
├── SettingsError                 -    an unusable setting, refused at start
├── InvalidInputError             422  the input does not fit the definition
├── UnknownDefinitionError        404  no definition of that name
├── UnknownTaskError              404  no task with that id
├── UnknownErrorGroupError        404  no failures of that fingerprint
├── UnknownWorkerError            404  no worker of that name is there
├── UnknownQueueError             404  no queue of that name is there
├── UnknownScheduleError          404  no schedule with that id
├── UnknownOperationError         404  no operation with that id
├── UnknownWebhookError           404  no webhook of the yard with that id
├── UnknownDeliveryError          404  no message to a webhook with that id
├── UnknownDeadLetterError        404  no dead letter with that id
├── UnknownFileError              404  no uploaded file with that id
├── UnknownLinkError              404  a public link that this yard did not sign
├── ExpiredLinkError              410  a public link whose time is over
├── UnknownArtifactError          404  the task has no artifact of that name
├── UnsafeNameError               422  a file or artifact name that could leave its folder
├── TooLargeError                 413  a body over its limit
├── WrongContentTypeError         415  a body that does not say it is JSON
├── IdempotencyConflictError      422  one Idempotency-Key, two different inputs
├── ScheduleConflictError         409  a schedule with that id is there, or a program alone may change it
├── DeadLetterConflictError       409  a dead letter cannot be put back as things are
├── NotFinishedError              -    result() ran out of time
├── TaskFailedError               -    result() of a task that ended FAILURE
├── TaskCancelledError            -    result() of a cancelled task; raised inside one that is told to stop
├── QueueFullError                429  a queue holds as many tasks as it may
├── LedgerUnavailableError        503  the Redis server cannot be reached or will not write
├── StorageUnavailableError       503  the file storage cannot be reached or will not write
├── HistoryUnavailableError       503  the history's database cannot be reached, is behind, or will not write
├── MissingLibraryError           -    an optional library is not installed
├── ServerError                   -    the embedded server cannot start
├── PoolError                     -    a worker's pool cannot keep a time limit, refused at start
├── PortInUseError                -    another program listens on the port
├── PartFailedError               -    a part of `backyard up` cannot start
└── TargetError                   -    ``module:attribute`` names no yard
"""

from __future__ import annotations

from typing import Any, ClassVar


class BackyardError(Exception):
    """Anything Backyard raises on purpose.

    Args:
        message: What happened and what to do about it, in one or two sentences.
    """

    #: HTTP status when the error leaves through the API.
    status: ClassVar[int] = 500
    #: Stable, machine-readable name.
    code: ClassVar[str] = "error"
    #: Short human title, the same for every error of the class.
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class DefinitionError(BackyardError):
    """A task function was declared in a way that cannot work."""

    code = "definition"
    title = "The task declaration cannot work"


class SettingsError(BackyardError):
    """A setting has a value that cannot work."""

    code = "settings"
    title = "The settings cannot work"


class InvalidInputError(BackyardError):
    """The input does not fit the definition's input model.

    Args:
        message: What happened and what to do.
        errors: One entry a field: ``{"location": [...], "message": str, "type": str}``.
    """

    status = 422
    code = "invalid_input"
    title = "The input is not valid"

    def __init__(self, message: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or []

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the field errors, as Celery's pools require."""
        return type(self), (self.message, self.errors)


class UnknownDefinitionError(BackyardError):
    """No definition of that name is registered."""

    status = 404
    code = "unknown_definition"
    title = "No such definition"


class UnknownTaskError(BackyardError):
    """No task has that id, or its record's lifetime has ended."""

    status = 404
    code = "unknown_task"
    title = "No such task"


class UnknownErrorGroupError(BackyardError):
    """No failures have that fingerprint."""

    status = 404
    code = "unknown_error_group"
    title = "No such error group"


class UnknownWorkerError(BackyardError):
    """No worker of that name is there."""

    status = 404
    code = "unknown_worker"
    title = "No such worker"


class UnknownQueueError(BackyardError):
    """No queue of that name is there."""

    status = 404
    code = "unknown_queue"
    title = "No such queue"


class UnknownScheduleError(BackyardError):
    """No schedule has that id."""

    status = 404
    code = "unknown_schedule"
    title = "No such schedule"


class UnknownOperationError(BackyardError):
    """No operation has that id."""

    status = 404
    code = "unknown_operation"
    title = "There is no such operation"


class UnknownWebhookError(BackyardError):
    """No webhook of the yard has that id."""

    status = 404
    code = "unknown_webhook"
    title = "No such webhook"


class UnknownDeliveryError(BackyardError):
    """No message to a webhook has that id."""

    status = 404
    code = "unknown_delivery"
    title = "No such message to a webhook"


class UnknownDeadLetterError(BackyardError):
    """There is no dead letter with that id."""

    status = 404
    code = "unknown_dead_letter"
    title = "No such dead letter"


class UnknownFileError(BackyardError):
    """No uploaded file has that id."""

    status = 404
    code = "unknown_file"
    title = "No such file"


class UnknownLinkError(BackyardError):
    """A public link was not signed by this yard."""

    status = 404
    code = "unknown_link"
    title = "The link leads nowhere"


class ExpiredLinkError(BackyardError):
    """The time of a public link is over."""

    status = 410
    code = "expired_link"
    title = "The link has expired"


class UnknownArtifactError(BackyardError):
    """The task saved no artifact of that name."""

    status = 404
    code = "unknown_artifact"
    title = "No such artifact"


class UnsafeNameError(BackyardError):
    """A file or artifact name could leave its folder."""

    status = 422
    code = "unsafe_name"
    title = "The name is not safe"


class TooLargeError(BackyardError):
    """A request body is over its size limit."""

    status = 413
    code = "too_large"
    title = "The body is too large"


class WrongContentTypeError(BackyardError):
    """A request body does not say that it is JSON."""

    status = 415
    code = "wrong_content_type"
    title = "The body does not say that it is JSON"


class IdempotencyConflictError(BackyardError):
    """An Idempotency-Key came a second time with another input."""

    status = 422
    code = "idempotency_conflict"
    title = "The Idempotency-Key was used for another input"


class ScheduleConflictError(BackyardError):
    """A schedule cannot be made or changed as it stands: its id is taken, or a program declares it."""

    status = 409
    code = "schedule_conflict"
    title = "The schedule cannot be changed like that"


class DeadLetterConflictError(BackyardError):
    """A dead letter cannot be put back as things are."""

    status = 409
    code = "dead_letter_conflict"
    title = "The dead letter cannot be put back"


class NotFinishedError(BackyardError, TimeoutError):
    """The task was not final when the given time had passed."""

    code = "not_finished"
    title = "The task is not finished"


class TaskFailedError(BackyardError):
    """The task ended in FAILURE.

    Args:
        message: The failure in one line.
        failure: The failure as the record keeps it (kind, type, message, traceback).
    """

    code = "task_failed"
    title = "The task failed"

    def __init__(self, message: str, failure: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.failure = failure or {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the failure, as Celery's pools require."""
        return type(self), (self.message, self.failure)


class TaskCancelledError(BackyardError):
    """The task was cancelled; inside a running task: stop now."""

    code = "task_cancelled"
    title = "The task was cancelled"


class QueueFullError(BackyardError):
    """A queue holds as many tasks as it may; nothing was accepted.

    Args:
        message: What happened and what to do.
        retry_after: Seconds after which there may be room.
    """

    status = 429
    code = "queue_full"
    title = "The queue is full"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the seconds, as Celery's pools require."""
        return type(self), (self.message, self.retry_after)


class LedgerUnavailableError(BackyardError):
    """The Redis server cannot be reached, or refuses to write.

    Args:
        message: What happened and what to do.
        task_id: The id a submit was sent with, if its fate is unsure: repeating the submit with it is safe.
        task_ids: The same for a submit of many, in the order of their inputs.
    """

    status = 503
    code = "ledger_unavailable"
    title = "The task store is not available"

    def __init__(self, message: str, task_id: str | None = None, task_ids: list[str] | None = None) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.task_ids = task_ids or []

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the ids, as Celery's pools require."""
        return type(self), (self.message, self.task_id, self.task_ids)


class StorageUnavailableError(BackyardError):
    """The file storage cannot be reached, or refuses to write."""

    status = 503
    code = "storage_unavailable"
    title = "The file storage is not available"


class HistoryUnavailableError(BackyardError):
    """The history's database cannot be reached, is not up to date, or refuses to write."""

    status = 503
    code = "history_unavailable"
    title = "The history is not available"


class MissingLibraryError(BackyardError):
    """A definition needs an optional library that is not installed."""

    code = "missing_library"
    title = "A library is missing"


class ServerError(BackyardError):
    """The embedded Redis-compatible server cannot start."""

    code = "server"
    title = "The embedded server cannot start"


class PoolError(BackyardError):
    """A worker's pool cannot keep the time limits of the tasks it would run."""

    code = "pool"
    title = "The pool cannot keep a time limit"


class PortInUseError(BackyardError):
    """Another program already listens on a port that Backyard needs."""

    code = "port_in_use"
    title = "The port is in use"


class PartFailedError(BackyardError):
    """A part of the stack cannot start, however often it is tried."""

    code = "part_failed"
    title = "A part cannot start"


class TargetError(BackyardError):
    """The ``module:attribute`` on the command line names no yard, or cannot be imported."""

    code = "target"
    title = "The target names no yard"
