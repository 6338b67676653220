"""The shop behind HTTP."""

from __future__ import annotations

from backyard.api import create_app
from support.shop import yard

app = create_app(yard)
