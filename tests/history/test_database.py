from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from backyard.core.errors import HistoryUnavailableError, SettingsError
from backyard.history import migrations
from backyard.history.database import History
from backyard.history.migrate import is_current, migrate, newest_step
from backyard.history.queries import task_of
from backyard.history.recorder import Recorder
from backyard.history.tables import event_number, event_text, event_time, metadata, yard_rollups
from support.news import Teller

#: The names of all steps: each file begins with its own.
STEPS = sorted(path.name.partition("_")[0] for path in Path(migrations.__file__).parent.glob("versions/[0-9]*.py"))


def differences(connection: Connection) -> list[object]:
    ours = {"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables}
    return list(compare_metadata(MigrationContext.configure(connection, opts=ours), metadata))


def test_steps_lead_to_the_tables_that_the_code_has(empty_history: History) -> None:
    assert not is_current(empty_history)
    assert migrate(empty_history) == STEPS
    assert is_current(empty_history)
    assert migrate(empty_history) == []
    with empty_history.reading() as connection:
        assert differences(connection) == []


def test_a_step_adds_up_for_the_yard_what_its_definitions_did(history: History) -> None:
    teller = Teller()
    told = [*teller.whole("t1", "f"), *teller.whole("t2", "g", "FAILURE"), *teller.whole("t3", "g")]
    teller.later(3 * 3_600_000)
    recorder = Recorder(history, lambda _: {})
    recorder.begin("0-0")
    recorder.record([*told, *teller.whole("t4", "f")])

    def sums() -> dict[tuple[int, int], dict[str, Any]]:
        with history.reading() as connection:
            rows = connection.execute(select(yard_rollups)).mappings().all()
        histograms = ("waits", "runs")
        return {
            (row["resolution"], row["start"]): {**row, **{name: json.loads(row[name]) for name in histograms}}
            for row in rows
        }

    recorded = sums()
    assert sorted(row["submitted"] for row in recorded.values() if row["resolution"] == 3_600) == [1, 3]
    with history.writing() as connection:
        yard_rollups.drop(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    assert migrate(history) == [step for step in STEPS if step > "0003"]
    assert sums() == recorded


def test_the_newest_step_is_the_one_that_alembic_finds() -> None:
    folder = Path(migrations.__file__).parent
    assert newest_step() == ScriptDirectory(str(folder)).get_current_head()


def test_a_history_that_is_up_to_date_needs_no_alembic(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from backyard.history.database import History
from backyard.history.migrate import migrate

print(migrate(History.open(None, Path(sys.argv[1]), "yard")), "alembic" in sys.modules)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    said = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said == [f"{STEPS} True\n", "[] False\n"]


def test_a_history_without_tables_says_what_to_do(empty_history: History) -> None:
    with pytest.raises(HistoryUnavailableError, match="backyard migrate"):
        task_of(empty_history, "t")


def test_yards_share_nothing(history: History, tmp_path: Path) -> None:
    other = History(history.url.render_as_string(hide_password=False), "other_yard")
    if history.is_sqlite:
        other = History.open(None, tmp_path, "other_yard")
    assert migrate(other) == STEPS
    other.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "is no URL"),
        ("mysql://host/db", "begins with 'mysql'"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_urls_that_cannot_work_are_refused(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        History.open(url, tmp_path, "yard")


def test_a_database_that_is_away_says_so_without_the_password(tmp_path: Path) -> None:
    history = History.open("postgresql://yard:hush@127.0.0.1:9/db", tmp_path, "yard")
    with pytest.raises(HistoryUnavailableError) as caught:
        task_of(history, "t")
    assert "hush" not in str(caught.value)
    (tmp_path / "file").write_text("no folder")
    blocked = History.open(f"sqlite:///{tmp_path}/file/history.sqlite3", tmp_path, "yard")
    with pytest.raises(HistoryUnavailableError, match="cannot be kept"):
        task_of(blocked, "t")


def test_numbers_of_events_sort_as_their_ids() -> None:
    ids = ["999-7", "1000-0", "1000-2", "1000-10", "1700000000000-1048575", "1700000000001-0"]
    numbers = [event_number(one) for one in ids]
    assert numbers == sorted(numbers)
    assert [event_text(number) for number in numbers] == ids
    assert event_time(numbers[-1]) == 1_700_000_000_001
