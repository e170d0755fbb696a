"""Any text as an expression: it is one, or an error of ours says why not.

One that is written out again is the same; its values are those of plain Python, row by row, and do
not depend on the rows beside them.
"""

from __future__ import annotations

import math
import warnings
from functools import cache
from typing import Any

from expression_text import text_of, without_places
from fuzz_laws import refused
from plain_expression import ROWS, worth

from pipeline.device import cpu
from pipeline.expression import parse
from pipeline.expression.nodes import Arithmetic, Call, Compare, Literal, Logic, Name, Node
from pipeline.features.try_op import make_frame


@cache
def table() -> tuple[Any, Any]:
    """The schema and the frame that expressions are about."""
    return make_frame({**ROWS, "d": ["2024-01-31", None, "1969-12-31"] + ["2024-02-01"] * 5})


def one(data: bytes) -> None:
    """Written out it is the same; values are plain Python's."""
    text = data.decode("utf-8", "replace")
    schema, frame = table()
    with warnings.catch_warnings(), refused():
        warnings.simplefilter("error")
        expression = parse(text)
        again = parse(text_of(expression.root))
        same = without_places(again.root) == without_places(expression.root)
        assert same, f"{text_of(expression.root)} is another expression"
        kind = expression.check(schema).dtype
        series = expression.evaluate(frame, cpu)
        assert _dtype(series) == kind, f"{_dtype(series)} where check says {kind}"
        values = _plain(series)
        for row in range(len(frame)):
            alone = _plain(expression.evaluate(frame.iloc[[row]], cpu))
            assert _same(alone[0], values[row]), f"row {row}: {alone[0]} alone"
        if (tree := tree_of(expression.root)) is not None:
            expected = [_shown(worth(tree, row)) for row in range(len(frame))]
            assert [_shown(v) for v in values] == expected, f"not {expected}: {values}"


def _dtype(series: Any) -> str:
    from pipeline.device import dtype_of

    return str(dtype_of(series))


def _plain(series: Any) -> list[Any]:
    return [None if m else v for v, m in zip(series.tolist(), series.isna().tolist(), strict=True)]


def _same(a: Any, b: Any) -> bool:
    """Whether values are equal, powers and logarithms but for the last bits.

    NumPy has them computed eight rows at a time by one formula, and the rest by another.
    """
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-14)
    return repr(a) == repr(b)


def _shown(value: Any) -> str:
    """A value and its type; infinities that are handed on are as they are."""
    return f"{type(value).__name__} {value!r}"


OPS = {"+", "-", "*", "/", "//", "%"}
CALLS = {"min": 2, "max": 2}


def tree_of(node: Node) -> Any:
    """The tree of `plain_expression`; None where that has no rule for a part."""
    try:
        return _tree(node)
    except NotImplementedError:
        return None


def _tree(node: Node) -> Any:  # noqa: PLR0911
    match node:
        case Literal(value=value) if not isinstance(value, bool):
            return value
        case Name(column=column) if column in ROWS:
            return ("col", column)
        case Arithmetic(op=op, operands=(a, b)) if op in OPS:
            return (op, _tree(a), _tree(b))
        case Arithmetic(op="-", operands=(a,)):
            return ("neg", _tree(a))
        case Compare(ops=(op,), operands=(a, b)):
            return (op, _tree(a), _tree(b))
        case Logic(op="not", operands=(a,)):
            return ("not", _tree(a))
        case Logic(op=op, operands=(a, b)):
            return (op, _tree(a), _tree(b))
        case Call(function="is_missing", operands=(a,)):
            return ("is_missing", _tree(a))
        case Call(function=name, operands=(a, b)) if name in CALLS:
            return (name, _tree(a), _tree(b))
    raise NotImplementedError
