"""The history's database: opened, read and written, with the driver's errors as ours."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from backyard.core.errors import HistoryUnavailableError, SettingsError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

#: Seconds to wait for a connection, and for another writer of SQLite.
PATIENCE = 5.0
#: Seconds that one statement may take: a question that would hold a database up is refused instead.
STATEMENT = 30.0
#: Connections that a process has at most.
CONNECTIONS = 8
#: The oldest SQLite whose upserts and partial indexes are used.
_OLDEST = (3, 35)
_WRITING = {"backyard_writing": True}


class History:
    """The durable past of one yard.

    Args:
        url: ``postgresql://`` or ``sqlite:///`` URL of its database.
        yard: The yard's name. In PostgreSQL it has a schema of its own.
    """

    def __init__(self, url: str, yard: str) -> None:
        self.url = _read_url(url)
        self.yard = yard

    @classmethod
    def open(cls, url: str | None, data_dir: Path, yard: str) -> History:
        """Return the history of a yard's settings.

        Args:
            url: URL of its database; None is a file of SQLite in the data directory.
            data_dir: The data directory.
            yard: The yard's name.

        Raises:
            SettingsError: The URL cannot work.
        """
        return cls(url or f"sqlite:///{(data_dir / 'history' / f'{yard}.sqlite3').absolute()}", yard)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def schema(self) -> str | None:
        """The schema that its tables are in; SQLite has none."""
        return None if self.is_sqlite else f"backyard_{self.yard}".lower().replace("-", "_")

    def __str__(self) -> str:
        """Return where it is, fit for messages: without a password."""
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    @cached_property
    def engine(self) -> Engine:
        """The engine, opened on first use."""
        if self.is_sqlite:
            if sqlite3.sqlite_version_info < _OLDEST:
                raise HistoryUnavailableError(
                    f"This Python's SQLite is {sqlite3.sqlite_version}, and the history needs 3.35. "
                    "Use a newer Python, or PostgreSQL by BACKYARD_HISTORY_URL."
                )
            return self._sqlite()
        return self._postgresql()

    def _sqlite(self) -> Engine:
        path = Path(str(self.url.database))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HistoryUnavailableError(f"The history cannot be kept in {path}: {error}.") from error
        options: dict[str, Any] = {"timeout": PATIENCE, "check_same_thread": False}
        engine = create_engine(
            self.url, connect_args=options, pool_size=CONNECTIONS, max_overflow=0, pool_timeout=PATIENCE
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # transactions begin where we say
            cursor = connection.cursor()
            # A commit survives a crash of the process; what a power cut takes is still on the stream.
            for row in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-65536", "temp_store=MEMORY"):
                cursor.execute(f"PRAGMA {row}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # A reader that came to write later could not wait for its turn.
            writing = connection.get_execution_options().get("backyard_writing")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

        return engine

    def _postgresql(self) -> Engine:
        url = self.url.set(drivername="postgresql+psycopg")
        path = f'-csearch_path="{self.schema}" -cstatement_timeout={int(STATEMENT * 1000)}'
        return create_engine(
            url,
            connect_args={"connect_timeout": int(PATIENCE), "options": path, "application_name": "backyard"},
            pool_size=CONNECTIONS, max_overflow=0, pool_timeout=PATIENCE, pool_pre_ping=True,
        )  # fmt: skip

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one moment of the history.

        Raises:
            HistoryUnavailableError: The database is away, or has not been migrated.
        """
        with self._translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are kept if the block ends well, all or none.

        Raises:
            HistoryUnavailableError: The database is away, full, or has not been migrated.
        """
        with self._translated(), self.engine.connect().execution_options(**_WRITING) as connection, connection.begin():
            yield connection

    def upsert(self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows, or give those that are there the new values of the named columns.

        Args:
            connection: From :meth:`writing`.
            table: The table.
            rows: All with the same columns, those of the primary key among them.
        """
        if not rows:
            return
        statement = insert_into(connection, table)
        keys = [column.name for column in table.primary_key]
        changes = {name: statement.excluded[name] for name in rows[0] if name not in keys}
        if changes:
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes), list(rows))
        else:
            connection.execute(statement.on_conflict_do_nothing(index_elements=keys), list(rows))

    def close(self) -> None:
        """Close the connections."""
        if "engine" in self.__dict__:
            self.engine.dispose()
            del self.__dict__["engine"]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeoutError as error:
            raise HistoryUnavailableError(
                f"All connections to the history at {self} are busy. Repeat later."
            ) from error
        except DBAPIError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: DBAPIError) -> HistoryUnavailableError:
        reason = str(error.orig).strip().partition("\n")[0]
        if isinstance(error, ProgrammingError | OperationalError) and re.search(
            r"no such (table|column)|relation .* does not exist|column .* does not exist", reason
        ):
            return HistoryUnavailableError(
                f"The history at {self} is not as this version needs it ({reason}). Run `backyard migrate`."
            )
        if re.search(r"interrupted|statement timeout", reason):
            return HistoryUnavailableError("The question would take the history too long. Narrow the filter.")
        return HistoryUnavailableError(f"The history at {self} cannot be used now: {reason}. Mend it, and repeat.")


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that knows ``ON CONFLICT``, in the words of its database; those of the other one stay unread."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert(table)


def _read_url(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError:
        raise SettingsError(
            "BACKYARD_HISTORY_URL is no URL. Write postgresql://user:password@host/database, "
            "or sqlite:////folder/history.sqlite3."
        ) from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise SettingsError(
            f"BACKYARD_HISTORY_URL begins with '{url.drivername}'. The history can be kept in postgresql:// or sqlite:///."
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise SettingsError("BACKYARD_HISTORY_URL names no file: processes cannot share a database in memory.")
    return url
