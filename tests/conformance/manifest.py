"""Dumps what `conformance.py` and `arrays.py` know, from an installed RAPIDS. Needs no GPU.

    python tests/conformance/manifest.py CUDF.json CUPY.json

Run it in a RAPIDS environment once per upgrade and commit the result under the version's name.
"""

import ast
import inspect
import json
import sys
import textwrap
from pathlib import Path

ND = "<no_default>"
SIMPLE = (type(None), bool, int, float, str)
HELPERS = {
    "is_scalar", "is_list_like", "callable", "isinstance", "len", "int", "str", "float", "bool",
    "no_default", "abs", "set", "dict", "list", "tuple", "np",
}  # fmt: skip


def classes():
    """cuDF's class and pandas' by the label that the proxy uses."""
    import cudf
    import pandas as pd
    import pandas.core.groupby as pg
    import pandas.core.window.rolling as pr
    from cudf.core.accessors import CategoricalAccessor, StringMethods
    from cudf.core.groupby.groupby import DataFrameGroupBy, SeriesGroupBy
    from cudf.core.series import DatetimeProperties
    from cudf.core.window.rolling import Rolling, RollingGroupby
    from pandas.core.arrays.categorical import CategoricalAccessor as Categories
    from pandas.core.indexes.accessors import DatetimeProperties as Dates
    from pandas.core.strings.accessor import StringMethods as Strings

    return {
        "DataFrame": (cudf.DataFrame, pd.DataFrame), "Series": (cudf.Series, pd.Series),
        "Index": (cudf.Index, pd.Index), "MultiIndex": (cudf.MultiIndex, pd.MultiIndex),
        "DatetimeIndex": (cudf.DatetimeIndex, pd.DatetimeIndex),
        "TimedeltaIndex": (cudf.TimedeltaIndex, pd.TimedeltaIndex),
        "DataFrameGroupBy": (DataFrameGroupBy, pg.DataFrameGroupBy),
        "SeriesGroupBy": (SeriesGroupBy, pg.SeriesGroupBy), "Rolling": (Rolling, pr.Rolling),
        "RollingGroupby": (RollingGroupby, pr.RollingGroupby), "dt": (DatetimeProperties, Dates),
        "str": (StringMethods, Strings), "cat": (CategoricalAccessor, Categories),
        "lib": (cudf, pd),
    }  # fmt: skip


def _source(function):
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    except (OSError, TypeError):
        return ""


def _tree(function):
    try:
        return ast.parse(_source(function)).body[0]
    except (SyntaxError, IndexError):
        return None


class Guards:
    """Finds ``if test: raise`` at the top of a function, over parameters and known helpers."""

    def __init__(self, function):
        self.found, self.changed = [], set()
        tree = _tree(function)
        if not isinstance(tree, ast.FunctionDef):
            return
        listed = [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]
        stars = [a for a in (tree.args.vararg, tree.args.kwarg) if a]
        self.parameters = {a.arg for a in [*listed, *stars]} - {"self"}
        for statement in tree.body:
            if isinstance(statement, ast.If):
                self._visit(statement, [])
            assigned = [n for n in ast.walk(statement) if isinstance(n, ast.Assign)]
            self.changed |= {t.id for n in assigned for t in n.targets if isinstance(t, ast.Name)}

    def _known(self, test):
        names = {n.id for n in ast.walk(test) if isinstance(n, ast.Name)}
        of_np = all(
            isinstance(n.value, ast.Name) and n.value.id == "np"
            for n in ast.walk(test)
            if isinstance(n, ast.Attribute)
        )
        settled = not names & (self.changed - {"axis"})
        return (
            bool(names & self.parameters)
            and names <= self.parameters | HELPERS
            and settled
            and of_np
        )

    def _visit(self, node, negated):
        known = self._known(node.test)
        if known and isinstance(node.body[0], ast.Raise):
            raised = node.body[0].exc
            name = getattr(getattr(raised, "func", raised), "id", "?")
            if name in ("NotImplementedError", "ValueError", "TypeError"):
                test = " and ".join(
                    [*(f"not ({n})" for n in negated), f"({ast.unparse(node.test)})"]
                )
                self.found.append([test, name, ast.unparse(raised)[:160]])
        elif known and isinstance(node.body[0], ast.If):
            for inner in node.body:
                if isinstance(inner, ast.If):
                    self._visit(inner, [*negated, f"not ({ast.unparse(node.test)})"])
        for other in node.orelse:
            if isinstance(other, ast.If) and known:
                self._visit(other, [*negated, ast.unparse(node.test)])


def guards_of(owner, name):
    """Guards of a method, following ``super()`` and ``self._name``, or of a module's function."""
    found, seen = [], set()
    mro = owner.__mro__ if inspect.isclass(owner) else (owner,)

    def take(cls, member, depth=0):
        function = getattr(vars(cls).get(member), "__func__", vars(cls).get(member))
        if function is None or (cls, member) in seen or depth > 3:
            return
        seen.add((cls, member))
        found.extend(Guards(function).found)
        source = _source(function)
        later = mro[mro.index(cls) + 1 :]
        if f"super().{member}(" in source and (up := [c for c in later if member in vars(c)]):
            take(up[0], member, depth + 1)
        private = [c for c in mro if f"_{member}" in vars(c)]
        if not member.startswith("_") and f"self._{member}(" in source and private:
            take(private[0], f"_{member}", depth + 1)

    if holders := [c for c in mro if name in vars(c)]:
        take(holders[0], name)
    if not inspect.isclass(owner):
        function = inspect.unwrap(getattr(owner, name))
        if impl := getattr(function, "__globals__", {}).get(f"_{name}_impl"):
            found.extend(Guards(impl).found)
    return found


def is_stub(function):
    """Nothing but ``raise NotImplementedError``."""
    body = getattr(_tree(function), "body", [])
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    return (
        bool(body)
        and isinstance(body[0], ast.Raise)
        and "NotImplementedError" in ast.unparse(body[0])
    )


def signature_of(function):
    """[[name, kind, None or [default]]], or None."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    simple = [[p.default if isinstance(p.default, SIMPLE) else ND] for p in parameters]
    return [
        [p.name, int(p.kind), None if p.default is p.empty else d]
        for p, d in zip(parameters, simple, strict=True)
    ]


def entry_of(owner, theirs, name):
    """What the manifest says of one name."""
    member, of_pandas = getattr(owner, name, None), getattr(theirs, name, None)
    if member is None or is_stub(member):
        return {"kind": "missing"}
    if not callable(member) or inspect.isclass(member):
        return {"kind": "class" if inspect.isclass(member) else "prop"}
    psig = signature_of(of_pandas) if callable(of_pandas) else None
    return {
        "kind": "method",
        "sig": signature_of(member),
        "psig": psig,
        "guards": guards_of(owner, name),
    }


def constructor_of(owner, theirs):
    """A class as the function that its name is."""
    return {
        "kind": "method",
        "sig": signature_of(owner.__init__)[1:],
        "psig": signature_of(theirs.__new__)[1:],
        "guards": Guards(owner.__init__).found,
    }


def cudf_manifest():
    """Everything by class and name."""
    found = {}
    for label, (owner, theirs) in classes().items():
        names = sorted(n for n in {*dir(owner), *dir(theirs)} if not n.startswith("_"))
        found[label] = {n: entry_of(owner, theirs, n) for n in names}
    found["lib"]["merge"]["sig"] = None  # (left, right, *args, **kwargs) says nothing
    for label in ("DatetimeIndex", "TimedeltaIndex"):
        found["lib"][label] = constructor_of(*classes()[label])
    rolling = next(c for c in classes()["Rolling"][0].__mro__ if "__init__" in vars(c))
    for label in ("DataFrame", "Series"):
        found[label]["rolling"]["guards"] = Guards(rolling.__init__).found
    return found


def cupy_manifest():
    """Functions with their parameters (null where unknown), and methods of an array."""
    import cupy

    names = sorted(n for n in dir(cupy) if not n.startswith("_"))
    signatures = {n: signature_of(getattr(cupy, n)) for n in names}
    return {
        "functions": {n: [p[0] for p in s] if s else None for n, s in signatures.items()},
        "methods": sorted(n for n in dir(cupy.ndarray) if not n.startswith("_")),
    }


if __name__ == "__main__":
    for path, made in zip(sys.argv[1:3], (cudf_manifest, cupy_manifest), strict=True):
        Path(path).write_text(json.dumps(made(), separators=(",", ":"), sort_keys=True) + "\n")
