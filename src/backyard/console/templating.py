"""How pages are drawn: Jinja with this package's templates, and the words that they share."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from backyard.console import wording
from backyard.core.states import FINAL, RUNNING, WAITING, State

if TYPE_CHECKING:
    from backyard.console.assets import Assets


class Templates:
    """Draws templates. Whatever they show is escaped; a name that is not there is an error.

    Args:
        assets: The files that pages link to.
    """

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=PackageLoader("backyard.console"), autoescape=True, undefined=StrictUndefined, auto_reload=False,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._environment.filters.update(wording.FILTERS)
        self._environment.globals.update(
            asset=assets.name, version=version("backyard"), State=State, FINAL=FINAL, RUNNING=RUNNING, WAITING=WAITING
        )

    def draw(self, template: str, **context: Any) -> str:
        """Return a drawn template.

        Args:
            template: Its path.
            context: What it shows.
        """
        return self._environment.get_template(template).render(context)
