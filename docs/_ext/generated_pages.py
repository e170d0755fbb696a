"""Sphinx extension: fills ``<!-- generated: NAME -->`` in a page with what a generator returns.

The marker is a comment on a Git host; on the site the generated sections take its place. Links to
Markdown files in the repository's root lead to the pages that include them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Any

import reference_cli
import reference_config
import reference_ops

GENERATORS: dict[str, Callable[[], str]] = {
    "config": reference_config.markdown,
    "ops": reference_ops.markdown,
    "cli": reference_cli.markdown,
}
ROOT_PAGES = {
    "README": "index",
    "CONTRIBUTING": "howto/contributing",
    "SECURITY": "explanations/security",
    "CHANGELOG": "changelog",
}


def fill(text: str) -> str:
    """Return a page's source with its markers replaced."""
    for name, generate in GENERATORS.items():
        marker = f"<!-- generated: {name} -->"
        if marker in text:
            text = text.replace(marker, generate())
    return text


def link_root_pages(text: str, page: str) -> str:
    """Return a page's source with links to Markdown in the root replaced by links on the site."""
    folder = posixpath.dirname(page)
    up = posixpath.relpath(".", posixpath.join("docs", folder))

    def on_site(match: re.Match[str]) -> str:
        return f"]({posixpath.relpath(ROOT_PAGES[match[1]], folder or '.')}.md"

    return re.sub(rf"\]\({re.escape(up)}/({'|'.join(ROOT_PAGES)})\.md", on_site, text)


def _on_source_read(app: Any, page: str, source: list[str]) -> None:
    source[0] = link_root_pages(fill(source[0]), page)


def setup(app: Any) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    app.connect("source-read", _on_source_read)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
