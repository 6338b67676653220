"""Options of the command line as settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from backyard.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


def settings_with(options: Mapping[str, Any]) -> Settings:
    """Read the settings, options before environment variables.

    The options are put into the environment: the user's module reads its settings from there when it is imported,
    and so do child processes.

    Args:
        options: Values by the setting's name; None means not given.

    Raises:
        SettingsError: A value cannot work.
    """
    for name, value in options.items():
        if value is not None:
            os.environ[f"BACKYARD_{name.upper()}"] = str(value)
    return load_settings()
