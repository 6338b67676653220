"""When the server is away, or will not write now: how it says so, and the one error that callers see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from backyard.core.errors import LedgerUnavailableError

#: How a server says that it cannot write now. Redis 6 puts the word behind the place in the script that met it.
_REFUSALS = re.compile(r"(?:^|-)(?:MISCONF|LOADING|OOM|READONLY|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|BUSY) ")
_AWAY = (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn the driver's errors into ours.

    Raises:
        LedgerUnavailableError: The server is away, frozen, loading, or refuses to write.
    """
    try:
        yield
    except (OutOfMemoryError, ReadOnlyError) as error:
        raise LedgerUnavailableError(
            f"Redis refuses to write: {error}. This call left nothing behind; free memory and repeat."
        ) from error
    except ResponseError as error:
        if _REFUSALS.search(str(error)):
            raise LedgerUnavailableError(
                f"Redis refuses to write: {error}. This call left nothing behind; mend it and repeat."
            ) from error
        raise
    except _AWAY as error:
        reason = str(error) or type(error).__name__
        raise LedgerUnavailableError(
            f"Redis at {shown(url)} does not answer ({reason}). Start it, and repeat."
        ) from error


def refusing(error: Exception) -> bool:
    """Whether a driver's error means that the server is there and will not write now."""
    refused = isinstance(error, ResponseError) and _REFUSALS.search(str(error)) is not None
    return refused or isinstance(error, (OutOfMemoryError, ReadOnlyError))


def unavailable(error: Exception) -> bool:
    """Whether a driver's error means that the server is away, or will not write now: the same call works later."""
    return refusing(error) or isinstance(error, _AWAY)


def shown(url: str) -> str:
    """Return a URL fit for messages: without user and password."""
    scheme, slashes, rest = url.partition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"
