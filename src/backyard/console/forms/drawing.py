"""What the templates of forms ask for, to draw them."""

from __future__ import annotations

from typing import Any

from backyard.console.forms.attributes import attributes_of, options_of, several_lines
from backyard.console.forms.field import Field
from backyard.console.forms.patterns import browser_pattern
from backyard.console.forms.placing import Wrong
from backyard.console.forms.schema import Kind
from backyard.console.forms.words import branch_label, hint_of


class Drawn:
    """A form as its templates see it.

    Args:
        root: All of its fields.
        prefix: What the names of its own controls begin with.
    """

    def __init__(self, root: Field, prefix: str) -> None:
        self.root = root
        self.prefix = prefix
        #: The name of the field that a button within the form was about: the row that was added, say.
        self.changed = ""
        #: What is wrong, for the summary.
        self.wrong: list[Wrong] = []

    @property
    def command(self) -> str:
        """The name of the buttons within the form."""
        return f"{self.prefix}~do"

    def attributes(self, field: Field) -> dict[str, Any]:
        """Return the attributes of a field's control."""
        described = [f"{field.name}~hint"] * bool(self.hint(field)) + [f"{field.name}~wrong"] * bool(field.wrong)
        return attributes_of(field) | {
            "aria-describedby": " ".join(described) or None, "aria-invalid": "true" if field.wrong else None
        }  # fmt: skip

    def key_attributes(self, field: Field) -> dict[str, Any]:
        """Return the attributes of the keys of a mapping."""
        node = field.part.key.node
        return {"pattern": browser_pattern(str(node.get("pattern", ""))), "maxlength": node.get("maxLength")}

    def choices(self, field: Field) -> list[tuple[str, str, bool]]:
        """Return the options of a choice: what each stands for, its label, whether it is chosen."""
        options = options_of(field.part)
        if "absent" in field.part.presences:
            options.insert(0, ("", "Default"))
        elif field.text not in dict(options):
            options.insert(0, ("", "Choose…"))
        return [(text, label, text == field.text) for text, label in options]

    def presences(self, field: Field) -> list[tuple[str, str, bool]]:
        """Return what may stand at a field, as the options of a select: a value or a variant, None, the default."""
        part = field.part
        if part.kind is Kind.VARIANTS:
            options = [(str(number), branch_label(part, one)) for number, one in enumerate(part.branches)]
            if field.branch is None and len(part.presences) == 1:
                options.insert(0, ("", "Choose…"))
        else:
            options = [("value", "A value")]
        options += [(one, {"null": "None", "absent": "Default"}[one]) for one in part.presences[1:]]
        here = field.drawn if field.presence == "value" else field.presence
        return [(text, label, text == here) for text, label in options]

    def several_lines(self, field: Field) -> bool:
        """Whether a text gets an area of several lines."""
        return several_lines(field)

    def hint(self, field: Field) -> str:
        """Return what stands below a field."""
        return hint_of(field.part)
