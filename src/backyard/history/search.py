"""Text search: which words stand for a task, and how each database finds them.

Texts are cut into words here, the same for all databases: runs of letters and digits, in lower case. A search finds the
tasks that have all of its words, the last one also as a beginning, and ``"words in quotes"`` next to each other.
Sources: FTS5, sqlite.org/fts5.html; "Full Text Search", PostgreSQL documentation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Integer, Text, TextClause, column, func, literal, select, table, text

from backyard.core.errors import InvalidInputError
from backyard.history.database import History
from backyard.history.tables import tasks

#: Characters of a task's texts that are searched; an input may be a whole file.
SEARCHED = 4_000
#: Words that a search may have.
MOST_WORDS = 20
LONGEST_WORD = 64
#: Characters of a text with escapes that is read for them.
LONGEST_SPOKEN = 100_000
_WORD = re.compile(r"[^\W_]+")
_PARTS = re.compile(r'"([^"]*)"?|([^"]+)')
_found = table("task_text", column("number"), column("words"))
#: The same table in SQLite, where the row's own number is the task's.
fts = table("task_text", column("rowid", Integer), column("words", Text))


def words_of(*texts: str | None) -> str:
    """Return the words of texts, as they are indexed."""
    found: list[str] = []
    room = SEARCHED
    for one in texts:
        found += [word[:LONGEST_WORD] for word in _WORD.findall((one or "")[:room].lower())]
        room = max(0, room - len(one or ""))
    return " ".join(found)


def spoken(text: str | None) -> str | None:
    """Return a JSON text without its escapes: what is searched for is what it says, not how it is written."""
    if text is None or "\\" not in text or len(text) > LONGEST_SPOKEN:
        return text
    try:
        waiting, said = [json.loads(text)], list[str]()
    except (ValueError, RecursionError):
        return text
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key, inner in reversed(value.items()):
                waiting += (inner, key)
        elif isinstance(value, list):
            waiting += reversed(value)
        else:
            said.append(str(value))
    return " ".join(said)


def read_search(given: str) -> list[list[str]]:
    """Read a search: phrases of words that follow each other, the last of the last phrase also as a beginning.

    Raises:
        InvalidInputError: It has no word, or too many.
    """
    phrases: list[list[str]] = []
    for quoted, plain in _PARTS.findall(given.lower()):
        words = [word[:LONGEST_WORD] for word in _WORD.findall(quoted or plain)]
        phrases += [words] if quoted and words else [[word] for word in words]
    count = sum(len(phrase) for phrase in phrases)
    if not 0 < count <= MOST_WORDS:
        raise InvalidInputError(
            f"A search has 1 to {MOST_WORDS} words of letters or digits, and this one has {count}. "
            'Write text=report, text="two words" for a phrase.',
            [{"location": ["query", "text"], "message": f"has {count} words", "type": "search"}],
        )
    return phrases


class TextIndex(Protocol):
    """How a database keeps the words of tasks, and finds them."""

    def put(self, connection: Connection, words: Sequence[dict[str, Any]]) -> None:
        """Keep the words of tasks, instead of those they had: rows of ``number`` and ``words``."""

    def drop(self, connection: Connection, numbers: Sequence[int]) -> None:
        """Forget the words of tasks."""

    def matches(self, phrases: Sequence[Sequence[str]]) -> ColumnElement[bool]:
        """Return the condition that a task has the words of a search."""


def fts_matches(phrases: Sequence[Sequence[str]]) -> TextClause:
    """Return the condition that a row of the FTS5 table has the words of a search."""
    query = " ".join(f'"{" ".join(phrase)}"' for phrase in phrases) + "*"
    return text("task_text MATCH :search").bindparams(search=query)


def fts_has(phrases: Sequence[Sequence[str]]) -> list[ColumnElement[bool]]:
    """Return the same condition for few rows, whose words are read: common beginnings cost the index much."""
    spaced = literal(" ").concat(fts.c.words).concat(" ")
    told = [f" {' '.join(phrase)} " for phrase in phrases]
    return [func.instr(spaced, one) > 0 for one in (*told[:-1], told[-1].rstrip())]


class SqliteText:
    """An FTS5 table whose row numbers are the tasks'; it gives what it finds in their order."""

    def put(self, connection: Connection, words: Sequence[dict[str, Any]]) -> None:
        """Keep the words of tasks, instead of those they had: rows of ``number`` and ``words``."""
        if words:
            connection.execute(text("INSERT OR REPLACE INTO task_text(rowid, words) VALUES (:number, :words)"), words)

    def drop(self, connection: Connection, numbers: Sequence[int]) -> None:
        """Forget the words of tasks."""
        rows = [{"number": number} for number in numbers]
        if rows:
            connection.execute(text("DELETE FROM task_text WHERE rowid = :number"), rows)

    def matches(self, phrases: Sequence[Sequence[str]]) -> ColumnElement[bool]:
        """Return the condition that a task has the words of a search."""
        return tasks.c.number.in_(select(fts.c.rowid).where(fts_matches(phrases)))


class PostgresqlText:
    """A table of word vectors with an inverted index."""

    def put(self, connection: Connection, words: Sequence[dict[str, Any]]) -> None:
        """Keep the words of tasks, instead of those they had: rows of ``number`` and ``words``."""
        if words:
            insert = "INSERT INTO task_text(number, words) VALUES (:number, to_tsvector('simple', :words))"
            connection.execute(text(f"{insert} ON CONFLICT (number) DO UPDATE SET words = excluded.words"), words)

    def drop(self, connection: Connection, numbers: Sequence[int]) -> None:
        """Forget the words of tasks."""
        rows = [{"number": number} for number in numbers]
        if rows:
            connection.execute(text("DELETE FROM task_text WHERE number = :number"), rows)

    def matches(self, phrases: Sequence[Sequence[str]]) -> ColumnElement[bool]:
        """Return the condition that a task has the words of a search."""
        query = " & ".join("(" + " <-> ".join(f"'{word}'" for word in phrase) + ")" for phrase in phrases)
        query = query.removesuffix("')") + "':*)"
        condition = _found.c.words.op("@@")(func.to_tsquery("simple", query))
        return tasks.c.number.in_(select(_found.c.number).where(condition))


def text_index(history: History) -> TextIndex:
    """Return how the history's database finds words."""
    return SqliteText() if history.is_sqlite else PostgresqlText()
