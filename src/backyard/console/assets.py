"""Style sheets, scripts and icons: served from the package under names that change with what they hold."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
#: What is served as one file: its name, where the parts lie, how they end. The parts are joined in order of name.
_BUNDLES = (
    ("console.css", "css", ".css"),
    ("vendor.js", "vendor", ".js"),
)
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served.

    Args:
        content: Its bytes.
        packed: The same, compressed by gzip.
        media_type: What it is.
    """

    content: bytes
    packed: bytes
    media_type: str


class Assets:
    """The console's files, held in memory."""

    def __init__(self) -> None:
        static = files("backyard.console") / "static"
        self._names: dict[str, str] = {}
        self._assets: dict[str, Asset] = {}
        for name, folder, ending in _BUNDLES:
            self._add(name, b"\n".join(part.read_bytes() for part in _sorted(static / folder, ending)))
        for script in _sorted(static / "js", ".js"):
            self._add(script.name, script.read_bytes())
        for picture in _sorted(static, ".svg"):
            self._add(picture.name, picture.read_bytes())

    def _add(self, name: str, content: bytes) -> None:
        stem, _, ending = name.rpartition(".")
        served = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{ending}"
        self._names[name] = served
        self._assets[served] = Asset(content, gzip.compress(content, mtime=0), _TYPES[ending])

    def name(self, name: str) -> str:
        """Return the name under which a file is served.

        Args:
            name: Its plain name, ``console.css``, say.

        Raises:
            KeyError: There is no such file.
        """
        return self._names[name]

    async def serve(self, request: Request) -> Response:
        """Answer with a file."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            return Response("There is no such file.", HTTPStatus.NOT_FOUND, media_type="text/plain")
        headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(asset.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)
        return Response(asset.content, headers=headers, media_type=asset.media_type)


def _sorted(folder: Traversable, ending: str) -> Iterable[Traversable]:
    return sorted((one for one in folder.iterdir() if one.name.endswith(ending)), key=lambda one: one.name)
