"""Tests mirror the package: every module with logic has a test of its path, or a row in README.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| `(pipeline/[\w/]+\.py)` \| (.+) \|$", re.M)
ROWS = {module: re.findall(r"`([^`]+)`", tests) for module, tests in ROW.findall(
    (ROOT / "tests" / "README.md").read_text()
)}  # fmt: skip


def has_logic(path):
    """Whether a module defines a function or a method."""
    return any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(path.read_text())))


def own_test(module):
    """The test file of a module's path."""
    path = Path(module)
    return Path("tests", *path.parts[1:-1], f"test_{path.stem}.py")


MODULES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "pipeline").rglob("*.py"))
    if path.stem != "__init__" and has_logic(path)
]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_test(module):
    if (ROOT / own_test(module)).exists():
        assert module not in ROWS, f"{own_test(module)} exists: remove the row of {module}"
        return
    assert ROWS.get(module), f"add {own_test(module)}, or a row for {module} to tests/README.md"
    for test in ROWS[module]:
        assert (ROOT / test).is_file(), f"{module}: there is no {test}"


def test_rows_are_of_modules():
    assert sorted(ROWS.keys() - set(MODULES)) == []
