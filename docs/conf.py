"""Settings of Sphinx. Build the site with ``sphinx-build -W --keep-going -b html docs site``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

import pipeline  # noqa: E402

project = "pipeline"
copyright = "the authors of pipeline"  # noqa: A001
version = release = pipeline.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.mermaid",
    "generated_pages",
]
exclude_patterns = ["_ext", "_build"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]  # a Git host draws the same ```mermaid block

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_class_signature = "separated"

nitpicky = True
# No inventory of another project is reachable from CI, so names of other packages stay unlinked;
# so do the classes that signatures of the API mention and users never make.
nitpick_ignore_regex = [("py:.*", r"(?!pipeline\.).*|pipeline\.(artifacts|memory|device)\..*")]

html_theme = "pydata_sphinx_theme"
html_title = "pipeline"
html_static_path: list[str] = []
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_end": ["theme-switcher"],
    "footer_end": [],
}
