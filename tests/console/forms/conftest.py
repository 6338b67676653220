"""Forms drawn by the console's own templates, without a server."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from backyard.console.assets import Assets
from backyard.console.forms.drawing import Drawn
from backyard.console.templating import Templates
from support.forms import SentForm

_OPTIONS = '{% import "forms/fields.html" as forms with context %}<form>{{ forms.extra(form, "Options") }}</form>'
_ALONE = (
    '{% import "forms/fields.html" as forms with context %}'
    "<form {{ forms.attributes(form) }}>{{ forms.fields(form) }}</form>"
)


@pytest.fixture(scope="session")
def drawn() -> Callable[[Drawn], str]:
    """Draws a form as pages do."""
    template = Templates(Assets())._environment.from_string(_ALONE)
    page = SimpleNamespace(base="/console")

    def draw(form: Drawn) -> str:
        return template.render(form=form, page=page)

    return draw


@pytest.fixture(scope="session")
def shown(drawn: Callable[[Drawn], str]) -> Callable[[Drawn], SentForm]:
    """What a browser has of a form."""
    return lambda form: SentForm(drawn(form))


@pytest.fixture(scope="session")
def extra() -> Callable[[Drawn], SentForm]:
    """What a browser has of the options of a submit."""
    template = Templates(Assets())._environment.from_string(_OPTIONS)
    page = SimpleNamespace(base="/console")
    return lambda form: SentForm(template.render(form=form, page=page))
