"""What the console's menu leads to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the menu.

    Args:
        label: What it says.
        path: Where it leads, within the console.
        icon: The name of its icon in ``static/icons.svg``.
    """

    label: str
    path: str
    icon: str


#: The menu, in groups.
MENU: tuple[tuple[Row, ...], ...] = (
    (
        Row("Overview", "/", "overview"),
        Row("Tasks", "/tasks", "tasks"),
        Row("Definitions", "/definitions", "definitions"),
    ),
    (
        Row("Queues", "/queues", "queues"),
        Row("Workers", "/workers", "workers"),
        Row("Schedules", "/schedules", "schedules"),
    ),
    (
        Row("Errors", "/errors", "errors"),
        Row("Dead letters", "/dead-letters", "dead-letters"),
    ),
    (
        Row("Webhooks", "/webhooks", "webhooks"),
        Row("Audit", "/audit", "audit"),
        Row("Settings", "/settings", "settings"),
    ),
)
