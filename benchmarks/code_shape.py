"""Measure the shape of the code: sizes, comments, helpers with one caller, import levels.

    python -m benchmarks.code_shape               # the whole package, as Markdown
    python -m benchmarks.code_shape pipeline/train

Definitions. A code line holds a token that is neither a comment nor part of a docstring. A private
helper is a function whose name begins with one underscore; it has one caller where its name is used
once in the module that defines it. ``Any`` does not count in imports. Lengths of functions and
modules count every line.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

SKIPPED = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
)  # fmt: skip
DIRECTIVE = re.compile(r"#\s*(noqa|type:|fmt:|mypy:|pragma)")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the line numbers of all docstrings, those of fields included."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if (
                isinstance(child, ast.Expr)
                and isinstance(child.value, ast.Constant)
                and isinstance(child.value.value, str)
            ):
                lines.update(range(child.lineno, (child.end_lineno or child.lineno) + 1))
    return lines


def measure_module(text: str) -> Counter[str]:
    """Count code lines, comment lines, ``Any``, ``# fmt: skip`` and helpers with one caller."""
    tree = ast.parse(text)
    documented = docstring_lines(tree)
    code: set[int] = set()
    counts: Counter[str] = Counter()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            counts["comments"] += not DIRECTIVE.match(token.string)
            counts["fmt: skip"] += "fmt: skip" in token.string
        elif token.type not in SKIPPED and token.start[0] not in documented:
            code.update(range(token.start[0], token.end[0] + 1))
            imported = token.line.startswith("from typing import")
            counts["Any"] += token.string == "Any" and not imported
    counts["code lines"] = len(code)
    counts["one caller"] = sum(1 for _ in helpers_with_one_caller(tree))
    return counts


def helpers_with_one_caller(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the private functions and methods that are named once beside their definition."""
    uses = Counter(
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, (ast.Name, ast.Attribute))
    )
    for node in ast.walk(tree):
        if (
            isinstance(node, FUNCTIONS)
            and node.name.startswith("_")
            and not node.name.startswith("__")
            and uses[node.name] == 1
        ):
            yield node


def import_levels(paths: list[Path]) -> int:
    """Return the length of the longest chain of imports between rooms; raises on a cycle.

    A room is a package directly below ``pipeline``, with what lies in it, or a module there.
    Imports inside functions count.
    """
    rooms = {path.with_suffix("").parts[1] for path in paths}
    graph: dict[str, set[str]] = {room: set() for room in rooms}
    for path in paths:
        room = path.with_suffix("").parts[1]
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            below = {parts[1] for name in names if len(parts := name.split(".")) > 1}
            if any(name.startswith("pipeline.") for name in names):
                graph[room] |= (below & rooms) - {room}
    levels: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        levels[room] = 1 + max((levels[below] for below in graph[room]), default=0)
    return max(levels.values(), default=0)


def percentile(values: list[int], percent: int) -> int:
    """Return the nearest-rank percentile of ``values``."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def measure(paths: list[Path]) -> dict[str, str]:
    """Return the figures of the table, by their names."""
    total: Counter[str] = Counter()
    functions: list[int] = []
    modules: list[int] = []
    for path in paths:
        text = path.read_text()
        total += measure_module(text)
        modules.append(text.count("\n"))
        functions += [
            (node.end_lineno or node.lineno) - node.lineno + 1
            for node in ast.walk(ast.parse(text))
            if isinstance(node, FUNCTIONS)
        ]
    code = total["code lines"]
    return {
        "code lines": f"{code:,}",
        "modules, lines p50 / p90": f"{statistics.median(modules):.0f} / {percentile(modules, 90)}",
        "functions, lines p50 / p90": f"{statistics.median(functions):.0f} / "
        f"{percentile(functions, 90)}",
        "comments per 100 code lines": f"{100 * total['comments'] / code:.1f}",
        "private helpers with one caller": f"{total['one caller']}",
        "the same per 1,000 code lines": f"{1000 * total['one caller'] / code:.1f}",
        "`Any`": f"{total['Any']}",
        "`# fmt: skip`": f"{total['fmt: skip']}",
    }


def main(tops: list[str]) -> None:
    """Print the table of the package, or of the folders or modules in ``tops``."""
    paths = [
        path
        for top in tops or ["pipeline"]
        for path in ([Path(top)] if top.endswith(".py") else sorted(Path(top).rglob("*.py")))
    ]
    rows = measure(paths)
    if not tops:
        rows["rooms and root modules"] = str(len({path.parts[1] for path in paths}))
        rows["levels of imports between them"] = str(import_levels(paths))
        rows["modules in the root"] = str(len(list(Path("pipeline").glob("*.py"))))
    print("| figure | value |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main(sys.argv[1:])
