"""Links, paths and module names in Markdown lead to something that is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTED = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard", "--", "*.md"],
    cwd=ROOT, check=False, capture_output=True, text=True,
).stdout.split()  # fmt: skip
PAGES = [name for name in LISTED if (ROOT / name).is_file()]
# Decisions and the changelog speak of the code as it was when they were written.
CURRENT = [
    name for name in PAGES if not name.startswith("docs/decisions/0") and name != "CHANGELOG.md"
]
EXAMPLES = {"conf/mine.yaml", "conf/sales.yaml", "conf/my.yaml"}
GLOB = set("*…<>{}")


def prose(name):
    """A page's text without its fenced code."""
    return re.sub(r"^(```|~~~).*?^\1", "", (ROOT / name).read_text(), flags=re.S | re.M)


def anchors(path):
    """The anchors that a Git host makes of a page's headings."""
    headings = re.findall(r"^#+ +(.+)$", prose(path.relative_to(ROOT).as_posix()), re.M)
    kept = (re.sub(r"[^\w\- ]", "", h.replace("`", "").lower()) for h in headings)
    return {k.strip().replace(" ", "-") for k in kept}


def links(name):
    text = re.sub(r"`[^`\n]*`", "", prose(name))
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings(name):
    for link in links(name):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.resolve()), link


def code_paths(name):
    text = (ROOT / name).read_text()
    found = re.findall(
        r"(?<![\w/.:-])((?:pipeline|tests|benchmarks|docs|conf|docker|data/flights)/[\w./*<>{}…-]+)",
        text,
    )
    return [p.rstrip(".") for p in found if not GLOB & set(p)]


@pytest.mark.parametrize("name", CURRENT)
def test_paths_of_the_repository_exist(name):
    assert [p for p in code_paths(name) if not (ROOT / p).exists() and p not in EXAMPLES] == []


@pytest.mark.parametrize("name", CURRENT)
def test_modules_and_their_attributes_exist(name):
    dotted = r"(?<![\w./@-])pipeline(?:\.[a-z_]\w*)+(?:\.[A-Z]\w+)?"
    found = set(re.findall(dotted, (ROOT / name).read_text())) - {"pipeline.schema.json"}
    assert [d for d in sorted(found) if not is_there(d)] == []


def is_there(dotted):
    """Whether a dotted name is a module, or a name in one; nothing is imported."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        path = ROOT / "/".join(parts[:end])
        source = next(
            (f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None
        )
        if source is not None:
            return all(re.search(rf"\b{name}\b", source.read_text()) for name in parts[end:])
    return False


def test_the_checks_see_mistakes():
    assert not is_there("pipeline.nothing.at_all")
    assert is_there("pipeline.features.op.Op")
    assert len(PAGES) > 20
