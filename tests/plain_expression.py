"""The expression language in plain Python, row by row: what its results are compared with.

A tree is a literal, ("col", name) or (operator, operands...); `shown` writes it, `worth` computes it.
"""

from __future__ import annotations

import math
import operator

import pandas as pd

LOW, HIGH = -(2**63), 2**63 - 1


def ints(values):
    return pd.Series(values, dtype="Int64")


ROWS = {
    "i": ints([3, -7, 0, None, HIGH, LOW, 2**53 + 1, 1]),
    "j": ints([2, 5, -1, 3, 1, -1, None, 0]),
    "x": [1.5, -0.5, None, 0.0, math.inf, 7.0, 1e300, -2.5],
    "b": pd.Series([True, None, False, True, False, True, None, False], dtype="boolean"),
    "s": pd.Series(["a", "ü", None, "b", "", "a|b", "a", "Z"], dtype=object),
    "t": pd.Series(["a", "b", "c", None, "a", "ü", "0", "z"], dtype=object),
}


def column_value(name, row):
    value = ROWS[name].iloc[row] if isinstance(ROWS[name], pd.Series) else ROWS[name][row]
    if value is None or value is pd.NA:
        return None
    return {"i": int, "j": int, "x": float, "b": bool}.get(name, str)(value)


def existing(value):
    """The language's rule: a number that no column can hold is missing."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if LOW <= value <= HIGH else None


def alike(a, b):
    return (float(a), float(b)) if float in (type(a), type(b)) else (int(a), int(b))


def arithmetic(op, a, b):
    a, b = alike(a, b)
    if op == "/":
        a, b = float(a), float(b)
    apply = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
             "//": operator.floordiv, "%": operator.mod}[op]  # fmt: skip
    try:
        return existing(apply(a, b))
    except (ZeroDivisionError, OverflowError):
        return None


COMPARE = {"<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
           ">": operator.gt, ">=": operator.ge}  # fmt: skip


def compared(op, a, b):
    if not isinstance(a, str):
        a, b = alike(a, b)
    return COMPARE[op](a, b)


def worth(tree, row):  # noqa: C901, PLR0911, PLR0912
    if not isinstance(tree, tuple):
        return tree
    op, *parts = tree
    if op == "col":
        return column_value(parts[0], row)
    values = [worth(p, row) for p in parts]
    if op == "is_missing":
        return values[0] is None
    if op in ("coalesce", "where"):
        options = values[1:] if op == "where" else values
        if op == "where":
            chosen = None if values[0] is None else options[0 if values[0] else 1]
        else:
            chosen = next((v for v in options if v is not None), None)
        floating = any(kind(p) == "float" for p in (parts[1:] if op == "where" else parts))
        return float(chosen) if floating and chosen is not None else chosen
    if op == "chain":
        first, second = tree[1], tree[4]
        a, b, c = worth(tree[2], row), worth(tree[3], row), worth(second, row)
        if None in (a, b, c):
            return None
        return compared(first, a, b) and compared(tree[5], b, c)
    if any(v is None for v in values):
        return None
    if op in ("+", "-", "*", "/", "//", "%"):
        return arithmetic(op, *values)
    if op in COMPARE:
        return compared(op, *values)
    if op in ("min", "max"):
        values = [float(v) if kind(tree) == "float" else int(v) for v in values]
        return (min if op == "min" else max)(values)
    if op == "neg":
        return existing(-values[0] if not isinstance(values[0], bool) else -int(values[0]))
    if op == "not":
        return not values[0]
    return values[0] and values[1] if op == "and" else values[0] or values[1]


TRUTHS = {*COMPARE, "chain", "not", "and", "or", "is_missing"}
"""What is true or false, whatever it is asked of."""


def kind(tree):
    """ "float" where the language says float64."""
    if not isinstance(tree, tuple):
        return "float" if isinstance(tree, float) else "int"
    if tree[0] == "col":
        return "float" if tree[1] == "x" else "int"
    if tree[0] == "/":
        return "float"
    if tree[0] in TRUTHS:
        return "int"
    parts = tree[2:] if tree[0] == "where" else tree[1:]
    return "float" if "float" in map(kind, parts) else "int"


def shown(tree):
    if not isinstance(tree, tuple):
        return repr(tree)
    op, *parts = tree
    if op == "col":
        return parts[0]
    if op == "chain":
        return f"({shown(tree[2])} {tree[1]} {shown(tree[3])} {tree[5]} {shown(tree[4])})"
    texts = [shown(p) for p in parts]
    if op in ("is_missing", "coalesce", "where", "min", "max"):
        return f"{op}({', '.join(texts)})"
    if op in ("neg", "not"):
        return f"({'-' if op == 'neg' else 'not '}{texts[0]})"
    return f"({texts[0]} {op} {texts[1]})"
