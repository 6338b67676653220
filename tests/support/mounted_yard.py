"""The test yard in somebody's app, at a path of it, behind a proxy that takes another one away."""

from __future__ import annotations

import os

from fastapi import FastAPI

from support.yard import yard

app = FastAPI(root_path=os.environ.get("TEST_ROOT_PATH", ""))
yard.mount(app, prefix="/jobs")
