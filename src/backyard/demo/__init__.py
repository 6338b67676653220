"""The yard that ``backyard up`` serves by default: two small tasks and four real jobs.

Importing this package needs none of the jobs' libraries. A job whose library is missing can still be submitted, since
the API cannot know what its workers have; it ends in FAILURE, with a message that names the library.
"""

from typing import TYPE_CHECKING, Any

from backyard.demo.calculation import calculation_task
from backyard.demo.demo_yard import yard
from backyard.demo.digits.definition import classify_digits
from backyard.demo.mail.definition import send_email
from backyard.demo.pipeline.definition import run_pipeline
from backyard.demo.report.definition import build_report
from backyard.demo.sleep import sleep_task

if TYPE_CHECKING:
    from backyard.demo.application import app

__all__ = [
    "app",
    "build_report",
    "calculation_task",
    "classify_digits",
    "run_pipeline",
    "send_email",
    "sleep_task",
    "yard",
]


def __getattr__(name: str) -> Any:
    """Make the app when it is first asked for (PEP 562): a worker and a keeper do without FastAPI."""
    if name != "app":
        raise AttributeError(f"module 'backyard.demo' has no attribute '{name}'")
    from backyard.demo.application import app  # noqa: PLC0415

    return app
