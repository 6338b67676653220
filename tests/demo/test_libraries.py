from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from httpx2 import Client

from backyard.core.errors import MissingLibraryError
from backyard.demo import libraries
from backyard.demo.libraries import need
from support.processes import TESTS, running_api, start_worker

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("matplotlib", "numpy", "openpyxl", "polars", "reportlab", "scipy", "sklearn")
#: A Python in which the heavy libraries are not installed: None in sys.modules makes an import fail as if absent.
WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))\n"


def python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_imports_without_its_libraries_and_each_job_says_what_it_lacks() -> None:
    program = """
import tempfile
from backyard import Context
from backyard.core.errors import MissingLibraryError
import backyard.demo as demo

place = Context.local(tempfile.mkdtemp())
calls = {"build_report": {}, "run_pipeline": {}, "classify_digits": {"images": [[[0] * 8] * 8]}}
for name, arguments in calls.items():
    try:
        getattr(demo, name)(place, **arguments)
    except MissingLibraryError as error:
        print(error)
print(demo.calculation_task(place, 100).primes, demo.sleep_task(place, 1).duration, len(demo.app.routes) > 0)
"""
    assert python(WITHOUT + program).splitlines() == [
        "build_report needs reportlab, which this worker does not have: pip install 'backyard[demo]'",
        "run_pipeline needs polars, which this worker does not have: pip install 'backyard[demo]'",
        "classify_digits needs numpy, which this worker does not have: pip install 'backyard[demo]'",
        "25 1 True",
    ]


def test_a_worker_without_a_library_fails_the_job_that_needs_it_and_runs_the_others(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    poor = {**environment, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(TESTS)])}
    worker = start_worker(poor, target="backyard.demo:yard.celery")
    try:
        with running_api(poor, "backyard.demo:app") as api, Client(base_url=api.url, timeout=240) as client:
            tasks = {}
            for name, data in (("run_pipeline", {"rows": 10}), ("calculation_task", {"limit": 10})):
                place = client.post(f"/tasks/{name}", json=data).headers["location"]
                tasks[name] = client.get(place, params={"wait": 30}).json()
    finally:
        worker.end()
    assert (tasks["run_pipeline"]["state"], tasks["run_pipeline"]["attempt"]) == ("FAILURE", 1)
    failure = tasks["run_pipeline"]["failure"]
    assert failure["type"] == "MissingLibraryError"
    assert failure["message"].startswith("run_pipeline needs polars")
    assert tasks["calculation_task"]["state"] == "SUCCESS"


def test_importing_the_demo_loads_none_of_the_libraries() -> None:
    program = f"import sys, backyard.demo; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    assert python(program).strip() == "[]"


def test_a_library_is_called_by_the_name_it_is_installed_under(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingLibraryError, match=r"^classify_digits needs scikit-learn, which"):
        need("classify_digits", "json", "sklearn")


def test_a_library_that_is_there_and_broken_speaks_for_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "halfway.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        need("a_job", "halfway")


def test_nothing_happens_where_all_is_there() -> None:
    need("a_job", "json", "email")
    assert set(libraries.DISTRIBUTIONS) <= set(HEAVY)
