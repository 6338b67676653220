"""A form on its way in: read from the request, its files stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import FormData

from backyard.console.forms.field import MOST_FIELDS
from backyard.console.forms.form import InputForm
from backyard.core.errors import TooLargeError

if TYPE_CHECKING:
    from backyard.console.page import Page
    from backyard.core.definition import Definition

#: Controls that a field has at most: its text, a zone or a key, what of it was drawn.
_CONTROLS = 4
_MOST_FILES = 100


async def received(page: Page, definition: Definition) -> InputForm:
    """Return the form that a request sends, its files stored.

    Args:
        page: The request.
        definition: The definition that the form is of.

    Raises:
        TooLargeError: The form has more than the settings or a form allow.
    """
    form = InputForm.sent(definition, await form_data(page))
    await form.store(page.yard.files, page.yard.settings.max_upload)
    return form


async def form_data(page: Page) -> FormData:
    """Return what a request sends, as often as it is asked for.

    Args:
        page: The request.

    Raises:
        TooLargeError: The body is larger than an input and an upload may be, or does not say how large it is.
    """
    settings = page.yard.settings
    length = page.request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > settings.max_body + settings.max_upload:
        raise TooLargeError(
            f"A form and its files can have {settings.max_body + settings.max_upload:,} bytes. Send smaller files, "
            "or raise BACKYARD_MAX_UPLOAD."
        )
    return await page.request.form(
        max_files=_MOST_FILES, max_fields=MOST_FIELDS * _CONTROLS, max_part_size=settings.max_body
    )
