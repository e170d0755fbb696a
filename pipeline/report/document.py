"""One HTML file that needs no network: it contains its styles, charts and scripts.

Its content security policy allows no script but the two that are hashed here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from pipeline.console.terminal import escape_controls, to_json_line
from pipeline.report import drawing

if TYPE_CHECKING:
    from jinja2 import Template


def render_document(name: str, charts: Sequence[drawing.Chart], /, **values: Any) -> str:
    """Render a template.

    Args:
        name: the template's file name.
        charts: charts for the elements ``chart-0``, ``chart-1``, ….
        values: the template's other values; ``items``, ``scripts``, ``style`` and ``policy`` are
            set here.
    """
    scripts = [_read_bokeh(), read_asset("page.js")] if charts else []
    # JSON in a script element: without these characters no text of the data can close the element
    # or open a comment.
    items = to_json_line(drawing.to_bokeh_items(charts), allow_nan=True)
    for character in "<>&":
        items = items.replace(character, f"\\u{ord(character):04x}")
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    sources = [f"'sha256-{digest}'" for digest in digests] or ["'none'"]
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; "
        f"script-src {' '.join(sources)}; base-uri 'none'; form-action 'none'"
    )
    return load_template(name).render(
        items=items, scripts=scripts, style=read_asset("page.css"), policy=policy, **values
    )


def load_template(name: str) -> Template:
    """Load a template that escapes its values, and fails if one is missing."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        # HTML forbids control characters, and changes of direction would disguise names.
        finalize=lambda value: escape_controls(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(read_asset),
    )
    return environment.get_template(name)


def read_asset(name: str) -> str:
    """Read a file of this package."""
    return resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _read_bokeh() -> str:
    """Read BokehJS without its widgets, tables and WebGL: 1.3 MB."""
    from bokeh.resources import Resources

    return str(Resources(mode="inline", components=["bokeh"]).js_raw[0])
