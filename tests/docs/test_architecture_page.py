"""The architecture page names every package of pipeline/."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_has_a_row():
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.partition("## The packages")[2].partition("\n## ")[0]
    named = {
        name
        for row in re.findall(r"^\| (.+?) \|", table, re.M)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert named == {path.parent.name for path in ROOT.glob("pipeline/*/__init__.py")}
