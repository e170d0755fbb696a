"""One HTML file that needs no network: styles, charts and scripts are in it.

Its content security policy runs no script but the two that are hashed here.
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
    """The page of a template.

    Args:
        name: the template's file name.
        charts: drawn into the elements ``chart-0``, ``chart-1``, ….
        values: what else the template names; it has ``items``, ``scripts``, ``style``, ``policy``.
    """
    scripts = [_bokeh(), read_asset("page.js")] if charts else []
    return load_template(name).render(
        items=_in_script(drawing.to_bokeh_items(charts)),
        scripts=scripts,
        style=read_asset("page.css"),
        policy=_policy(scripts),
        **values,
    )


def load_template(name: str) -> Template:
    """A template in which what is filled in is escaped, and nothing may be left out."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=True, finalize=_shown, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, loader=FunctionLoader(read_asset),
    )  # fmt: skip
    return environment.get_template(name)


def _shown(value: Any) -> Any:
    """Texts without control characters, which HTML forbids, and without changes of direction."""
    return escape_controls(value) if type(value) is str else value


def read_asset(name: str) -> str:
    """A file of this package."""
    return resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")


def _in_script(value: Any) -> str:
    """JSON for a script element: no text in it can close the element or open a comment."""
    written = to_json_line(value, allow_nan=True)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(scripts: Sequence[str]) -> str:
    """A content security policy: no network, and no script but these."""
    digests = (hashlib.sha256(s.encode()).digest() for s in scripts)
    allowed = [f"'sha256-{base64.b64encode(d).decode()}'" for d in digests] or ["'none'"]
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; "
        f"script-src {' '.join(allowed)}; base-uri 'none'; form-action 'none'"
    )


@cache
def _bokeh() -> str:
    """BokehJS without its widgets, tables and WebGL: 1.3 MB."""
    from bokeh.resources import Resources

    return str(Resources(mode="inline", components=["bokeh"]).js_raw[0])
