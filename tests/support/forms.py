"""What a browser makes of a page's form: its controls as they stand, and what is sent of them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from starlette.datastructures import FormData

_SINGLE = {"input", "br", "use"}


class SentForm(HTMLParser):
    """The form of a page, as a browser without scripts has it.

    Args:
        html: The page, or the form alone.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        #: Names and values of the controls, in the order of the page.
        self.controls: list[tuple[str, str]] = []
        #: Name, value and label of the buttons.
        self.buttons: list[tuple[str, str, str]] = []
        self.options: dict[str, list[tuple[str, str]]] = {}
        self.attributes: dict[str, dict[str, Any]] = {}
        self._select: str | None = None
        self._chosen: list[str] = []
        self._area: str | None = None
        self._button: tuple[str, str] | None = None
        self._option: str | None = None
        self._text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if name:
            self.attributes[name] = {"tag": tag, **given}
        if tag == "input":
            self._input(name, given)
        elif tag == "select":
            self._select, self._chosen = name, []
            self.options[name] = []
        elif tag == "option":
            self._option, self._text = given.get("value", ""), ""
            if "selected" in given:
                self._chosen.append(self._option)
        elif tag == "textarea":
            self._area, self._text = name, ""
        elif tag == "button":
            self._button, self._text = (name, given.get("value", "")), ""

    def _input(self, name: str, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        if not name or kind == "file" or (kind in {"checkbox", "radio"} and "checked" not in given):
            return
        value = given.get("value", "on" if kind == "checkbox" else "")
        # A field of one line has no line ends.
        self.controls.append((name, value if kind == "hidden" else value.replace("\n", "").replace("\r", "")))

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "option" and self._select is not None and self._option is not None:
            self.options[self._select].append((self._option, " ".join(self._text.split())))
            self._option = None
        elif tag == "select" and self._select is not None:
            known = [value for value, _ in self.options[self._select]]
            self.controls.append((self._select, self._chosen[-1] if self._chosen else known[0]))
            self._select = None
        elif tag == "textarea" and self._area is not None:
            text = self._text.removeprefix("\n").replace("\r\n", "\n").replace("\n", "\r\n")
            self.controls.append((self._area, text))
            self._area = None
        elif tag == "button" and self._button is not None:
            self.buttons.append((*self._button, " ".join(self._text.split())))
            self._button = None

    def set(self, name: str, value: str) -> None:
        """Fill in a control, as a person does; it has to be there."""
        assert any(name == known for known, _ in self.controls), (name, [known for known, _ in self.controls])
        if name in self.options:
            assert value in [one for one, _ in self.options[name]], (name, value, self.options[name])
        self.controls = [(known, value if known == name else old) for known, old in self.controls]

    def check(self, name: str, *, on: bool) -> None:
        """Check a box, or take the mark away."""
        assert self.attributes[name]["type"] == "checkbox"
        self.controls = [(known, value) for known, value in self.controls if known != name] + [(name, "true")] * on

    def data(self, *more: tuple[str, Any]) -> FormData:
        """Return what is sent; with a button's name and value, what it sends as well."""
        return FormData([*self.controls, *more])
