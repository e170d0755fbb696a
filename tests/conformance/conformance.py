"""Runs frame code on pandas behind a proxy that rejects what cuDF 26.10 rejects; needs no GPU.

The manifest (`manifest.py` dumps it from an installed cuDF) has every public name, signature and
pandas default, and the guards of cuDF's own source: ``if <parameters>: raise …``. A finding is
(layer, where, message); the layers:

    name     no cuDF class of this kind has the attribute
    bind     the arguments do not fit cuDF's signature
    guard    a guard of cuDF's source would raise
    default  a parameter left out whose default differs between pandas and cuDF
    nan      groups with NaN among their values, which cuDF does not skip as it does nulls
    note     allowed, with care

With ``chaos`` the rows of unsorted groupby and merge results are shuffled and category codes of
missing values are <NA>, as in cuDF. Quotients of small integers are float32, as in cuDF
(`values.py`). What it cannot see: other numerics and result dtypes, libcudf's and the regex engine's
own limits, memory. `arrays.py` is the same for CuPy.
"""

import ast
import functools
import inspect
import json
import operator
from pathlib import Path

import numpy as np
import pandas as pd
from arrays import Array
from values import DIVISIONS, divided, with_nan

MANIFEST = json.loads(Path(__file__).with_name("cudf-26.10-manifest.json").read_text())
ND = "<no_default>"
GUARD_NAMES = {
    "is_scalar": pd.api.types.is_scalar, "is_list_like": pd.api.types.is_list_like, "no_default": ND,
    "callable": callable, "isinstance": isinstance, "len": len, "int": int, "str": str, "set": set,
    "float": float, "bool": bool, "abs": abs, "dict": dict, "list": list, "tuple": tuple, "np": np,
}  # fmt: skip
HARMLESS = {  # defaults that differ but cannot change results
    ("*", n)
    for n in [
        "copy", "nan_as_null", "axis", "dtype_backend", "min_count", "inplace", "include", "case",
        "fill_value", "other", "min_periods", "verify_integrity", "allow_duplicates", "engine",
        "group_keys", "na", "flags", "dtype", "compression", "names", "sep",
    ]
} | {("DataFrame", "interpolation"), ("lib", "sort"), ("lib", "exact"), ("lib", "freq"), ("lib", "tz")}  # fmt: skip
LABELS = {
    "StringMethods": "str", "DatetimeProperties": "dt", "CombinedDatetimelikeProperties": "dt",
    "CategoricalAccessor": "cat",
}  # fmt: skip
INDEXES = {"MultiIndex", "DatetimeIndex", "TimedeltaIndex"}  # others are an Index to cuDF's users
WRAPPED = {"DataFrame", "Series", "Index", *INDEXES, "DataFrameGroupBy", "SeriesGroupBy",
           "Rolling", "RollingGroupby", "str", "dt", "cat"}  # fmt: skip
IN_ROW_ORDER = {"transform", "shift", "cumcount", "cumsum", "rank", "diff", "ffill", "bfill", "head",
                "tail"}  # fmt: skip
HOST_LISTS = {"to_list", "tolist", "__iter__"}
BY_THE_HOST = {"time", "timetz", "date", "to_pydatetime", "to_period"}  # cuDF asks pandas
CALLABLES = {"apply", "map", "transform", "agg", "aggregate"}


class Findings:
    """What was found while some code ran."""

    def __init__(self, *, chaos=True, seed=0):
        self.found, self.chaos, self.rng = [], chaos, np.random.default_rng(seed)

    def add(self, layer, where, message):
        self.found.append((layer, where, message))

    @property
    def errors(self):
        """All but notes."""
        return [f for f in self.found if f[0] != "note"]

    def check_call(self, label, name, args, kw):
        """Binds a call to cuDF's signature and looks at its guards and defaults."""
        entry, where = MANIFEST[label].get(name), f"{label}.{name}"
        if not entry or entry["kind"] != "method" or not entry.get("sig"):
            return
        try:
            bound = _signature(entry["sig"]).bind(
                *(args if label == "lib" else (None, *args)), **kw
            )
        except TypeError as error:
            self.add("bind", where, str(error))
            return
        if name in CALLABLES and any(callable(x) for x in [*args, *kw.values()]):
            self.add("note", where, "compiled by numba under cuDF: scalar numeric code only")
        given = set(bound.arguments)
        bound.apply_defaults()
        if not self._guarded(entry["guards"], dict(bound.arguments), where):
            self._defaulted(entry, given, label, where)

    def _guarded(self, guards, names, where):
        axis = names.get("axis")
        if isinstance(axis, str):
            names["axis"] = {"index": 0, "columns": 1}.get(axis, axis)
        for test, _, message in guards:
            try:
                bad = eval(test, dict(GUARD_NAMES), names)  # noqa: S307  # our own manifest
            except Exception:  # noqa: S112  # the guard needs more than the arguments
                continue
            if isinstance(bad, bool | np.bool_) and bad:
                self.add("guard", where, f"{message}  <- {test}")
                return True
        return False

    def _defaulted(self, entry, given, label, where):
        of_pandas = {n: d for n, _, d in entry.get("psig") or []}
        for name, _, default in entry["sig"]:
            theirs = of_pandas.get(name)
            if name in given or default is None or theirs is None or default[0] == theirs[0]:
                continue
            if not {("*", name), (label, name)} & HARMLESS:
                self.add(
                    "default", where, f"{name}: pandas {theirs[0]!r}, cuDF {default[0]!r}; pass it"
                )


def _signature(parameters):
    empty = inspect.Parameter.empty
    return inspect.Signature(
        [
            inspect.Parameter(n, inspect._ParameterKind(k), default=empty if d is None else d[0])
            for n, k, d in parameters
        ]
    )


def label_of(value):
    """The manifest's name for the class of a pandas object."""
    if isinstance(value, pd.Index):
        return name if (name := type(value).__name__) in INDEXES else "Index"
    return LABELS.get(type(value).__name__, type(value).__name__)


def wrap(value, findings, *, unsorted=False):
    """A pandas object behind the proxy; anything else as it is."""
    return Proxy(value, findings, unsorted) if label_of(value) in WRAPPED else value


def unwrap(value):
    """The inverse of `wrap`, also inside lists and dicts; CuPy stand-ins become NumPy."""
    if isinstance(value, Proxy):
        return object.__getattribute__(value, "_o")
    if isinstance(value, Array):
        return value.host
    if isinstance(value, list | tuple):
        return type(value)(unwrap(v) for v in value)
    if isinstance(value, dict):
        return {k: unwrap(v) for k, v in value.items()}
    return value


class Proxy:
    """A pandas object that answers as cuDF would."""

    __array_priority__ = 10_000
    __hash__ = None

    def __init__(self, value, findings, unsorted=False):
        object.__setattr__(self, "_o", value)
        object.__setattr__(self, "_f", findings)
        object.__setattr__(self, "_unsorted", unsorted)

    def __getattr__(self, name):
        value, found = unwrap(self), self._f
        if name.startswith("_"):
            raise AttributeError(name)
        label = label_of(value)
        if self._is_column(value, label, name):
            return wrap(value[name], found, unsorted=self._unsorted)
        entry = MANIFEST[label].get(name)
        self._check_name(label, name, entry, value)
        member = getattr(value, name)
        if name in ("loc", "iloc"):
            return Locations(member, found)
        if name == "codes" and label == "cat" and found.chaos:
            return wrap(member.astype("Int32").mask(member == -1), found)
        if name == "columns":
            return member  # a pandas Index in cuDF too
        if entry and entry["kind"] == "method" and callable(member):
            return functools.partial(self._call, label, name, member)
        if label in INDEXES and isinstance(member, np.ndarray):
            member = Array(member)  # cuDF gives a CuPy array
        return wrap(member, found)

    def _check_name(self, label, name, entry, value):
        found = self._f
        if entry is None or entry["kind"] == "missing":
            if entry is None and not hasattr(value, name):
                raise AttributeError(name)
            found.add("name", f"{label}.{name}", "not in cuDF")
        if name in HOST_LISTS:
            found.add("name", f"{label}.{name}", "raises TypeError in cuDF")
        if name in BY_THE_HOST and label in INDEXES:
            found.add("name", f"{label}.{name}", "cuDF computes it on the host")
        if name == "values":
            found.add("note", f"{label}.{name}", "a CuPy array under cuDF")

    @staticmethod
    def _is_column(value, label, name):
        if label == "DataFrame":
            return name in value.columns
        return label == "DataFrameGroupBy" and name in value.obj.columns

    def _call(self, label, name, member, *args, **kw):
        found = self._f
        args, kw = [unwrap(a) for a in args], {k: unwrap(v) for k, v in kw.items()}
        found.check_call(label, name, args, kw)
        if label.endswith("GroupBy") and (columns := with_nan(member.__self__, name, args, kw)):
            text = f"NaN in {', '.join(columns)}: cuDF's groups skip nulls alone; fill or mask it first"
            found.add("nan", f"{label}.{name}", text)
        if name in DIVISIONS:
            member = getattr(divided(member.__self__), name)
        result = member(*args, **kw)
        if name == "groupby":
            return wrap(result, found, unsorted=not kw.get("sort", False))
        if found.chaos and isinstance(result, pd.DataFrame | pd.Series) and len(result) > 1:
            result = self._shuffled(label, name, result, kw)
        return wrap(result, found)

    def _shuffled(self, label, name, result, kw):
        aggregated = label.endswith("GroupBy") and self._unsorted and name not in IN_ROW_ORDER
        if not aggregated and (name not in ("merge", "join") or kw.get("sort")):
            return result
        mixed = result.iloc[self._f.rng.permutation(len(result))]
        named = aggregated and result.index.names != [None]
        return mixed if named or name == "join" else mixed.reset_index(drop=True)

    def __getitem__(self, key):
        return wrap(unwrap(self)[unwrap(key)], self._f, unsorted=self._unsorted)

    def __setitem__(self, key, value):
        unwrap(self)[unwrap(key)] = unwrap(value)

    def __setattr__(self, name, value):
        setattr(unwrap(self), name, unwrap(value))

    def __delitem__(self, key):
        del unwrap(self)[key]

    def __len__(self):
        return len(unwrap(self))

    def __contains__(self, key):
        return key in unwrap(self)

    def __iter__(self):
        value = unwrap(self)
        if not isinstance(value, pd.DataFrame):
            self._f.add("name", f"{label_of(value)}.__iter__", "raises TypeError in cuDF")
        return iter(value)

    def __array__(self, *_, **__):
        where = f"{label_of(unwrap(self))}.__array__"
        self._f.add("name", where, "implicit conversion to the host raises TypeError in cuDF")
        return np.asarray(unwrap(self))

    def __array_ufunc__(self, ufunc, method, *inputs, **kw):
        given = [unwrap(x) for x in inputs]
        return wrap(
            getattr(ufunc, method)(*given, **{k: unwrap(v) for k, v in kw.items()}), self._f
        )

    def __bool__(self):
        return bool(unwrap(self))

    def __repr__(self):
        return f"Proxy<{unwrap(self)!r}>"


def _operator(name, swapped=False):
    function = getattr(operator, name)

    def apply(self, *other):
        own = unwrap(self)
        operands = [divided(own) if name == "truediv" else own, *(unwrap(o) for o in other)]
        return wrap(function(*(operands[::-1] if swapped else operands)), self._f)

    return apply


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor"):
    _dunder = _name.strip("_")
    setattr(Proxy, f"__{_dunder}__", _operator(_name))
    setattr(Proxy, f"__r{_dunder}__", _operator(_name, swapped=True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "invert", "abs"):
    setattr(Proxy, f"__{_name}__", _operator(_name))


class Locations:
    """``.loc`` and ``.iloc``."""

    def __init__(self, of, findings):
        self.of, self.findings = of, findings

    def __getitem__(self, key):
        return wrap(self.of[unwrap(key)], self.findings)

    def __setitem__(self, key, value):
        self.of[unwrap(key)] = unwrap(value)


class Lib:
    """Stands for the module that shared code gets as ``device.lib``."""

    def __init__(self, findings):
        self.findings = findings

    def __getattr__(self, name):
        entry, found = MANIFEST["lib"].get(name), self.findings
        if entry is None or entry["kind"] == "missing":
            found.add("name", f"cudf.{name}", "not in cuDF")
        member = getattr(pd, name)
        if not callable(member) or (inspect.isclass(member) and name not in WRAPPED):
            return member

        def call(*args, **kw):
            args, kw = [unwrap(a) for a in args], {k: unwrap(v) for k, v in kw.items()}
            found.check_call("lib", name, args, kw)
            return wrap(member(*args, **kw), found)

        return call


def masked(frame):
    """NumPy columns as Int64, Float64 and boolean, so that nulls follow NA rules as in cuDF."""
    kinds = {"i": "Int", "u": "UInt", "f": "Float"}
    types = {}
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, np.dtype) and dtype.kind in "iufb":
            types[name] = (
                "boolean" if dtype.kind == "b" else f"{kinds[dtype.kind]}{dtype.itemsize * 8}"
            )
    return frame.astype(types)


def check(function, *frames, lib=False, chaos=True, nullable=False):
    """(result, findings) of a function run on frames behind the proxy.

    Args:
        lib: give the module stand-in first.
        nullable: run on `masked` frames.

    An exception after a finding is taken for its consequence.
    """
    found = Findings(chaos=chaos)
    given = [wrap(masked(f) if nullable else f.copy(), found) for f in frames]
    try:
        result = function(Lib(found), *given) if lib else function(*given)
    except Exception:
        if not found.errors:
            raise
        result = None
    return unwrap(result), found


# -- without running anything ----------------------------------------------------------------------


def _missing_everywhere():
    kinds = [(n, e["kind"]) for m in MANIFEST.values() for n, e in m.items()]
    return {n for n, k in kinds if k == "missing"} - {n for n, k in kinds if k != "missing"}


NOT_IN_CUDF = _missing_everywhere()


def lint(source, allowed=frozenset()):
    """(line, attribute) of attributes that pandas has and no cuDF class has."""
    return [
        (node.lineno, node.attr)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in NOT_IN_CUDF - allowed
    ]
