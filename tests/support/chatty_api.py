"""The chatty yard behind HTTP."""

from __future__ import annotations

from backyard.api import create_app
from support.chatty import yard

app = create_app(yard)
