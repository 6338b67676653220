"""Lets the stock command line name an attribute of an attribute: ``celery -A shop:yard.celery worker``.

Celery looks for ``yard.celery`` as one attribute name, finds none, and then tries to import ``shop:yard.celery`` as a
module. This finder answers that import: it knows names with a colon only, which no module can have.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast


class AttributeFinder(MetaPathFinder, Loader):
    """Finds ``module:attribute``, whose own attributes then count as found too."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - protocol
        target: ModuleType | None = None,  # noqa: ARG002 - protocol
    ) -> ModuleSpec | None:
        """Answer for names with a colon, and for no others."""
        module, colon, attribute = fullname.partition(":")
        if not colon or "." in attribute or not hasattr(sys.modules.get(module), attribute):
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> None:  # noqa: ARG002 - protocol
        """Leave the making of the module to Python."""
        return

    def exec_module(self, module: ModuleType) -> None:
        """Put the attribute's Celery app where the import looks next."""
        home, _, attribute = module.__name__.partition(":")
        yard: Any = getattr(importlib.import_module(home), attribute)
        if hasattr(yard, "celery"):
            sys.modules[f"{module.__name__}.celery"] = cast("ModuleType", yard.celery)


def install() -> None:
    """Make the finder known to Python, once."""
    if not any(isinstance(finder, AttributeFinder) for finder in sys.meta_path):
        sys.meta_path.append(AttributeFinder())
