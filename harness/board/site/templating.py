"""Fill in the templates. Whatever is filled in is text: it is escaped, and what cannot be seen is shown as an escape."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from harness.core.text import printable

TEMPLATES = Path(__file__).parent / "templates"


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Return a template with its values filled in; raises jinja2.UndefinedError for one that is missing."""
    return _environment().get_template(template).render(values)


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,  # in every template, the feed's too: XML has the same five entities
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _shown(value: Any) -> Any:
    """Show a value on one line, in characters that XML allows; nothing for what is not known."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value.replace("\n", " "))
    return value
