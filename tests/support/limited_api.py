"""The API of the yard whose definitions have limits."""

from __future__ import annotations

from backyard.api import create_app
from support.limited import yard

app = create_app(yard)
