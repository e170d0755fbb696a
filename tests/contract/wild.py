"""Random frames that hold what data really hold: columns, and a `Table` that ops' strategies fill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from pipeline.device import cpu
from pipeline.schema import Column, Schema

NUMERIC = ("int64", "float64", "float32")
EVERY = (*NUMERIC, "int32", "bool", "datetime", "text")
KEYS = ("int64", "float64", "int32", "bool", "datetime", "text")

# Our own names, in files and in summaries; names that look like what ops make; odd ones.
NAMES = (
    "x", "y", "row", "set", "label", "prediction", "p_1", "xgboost__p_1", "key_0", "key", "value",
    "count", "missing", "code", "order", "id", "n_0", "s_0_0", "stat_0", "sum_0", "column_0", "names",
    "tables", "index", "level_0", "$table", "__group__", "x__missing", "x__year", "x__mean_by_y",
    "table__x", "a.b", "a__b", "a b", " a", "a ", "A", "a", "a,b", 'a"b', "a'b", "a\nb", "=1+1", "-1",
    "{column}", "{x}", "größe", "gro\u0308ße", "日本", "👩‍👩‍👧", "numeric", "all", "text", "0", "re:x", "x" * 300,
)  # fmt: skip
WORDS = (
    "", " ", "\t", "a", "A", "a ", "b", "a,b", "a|b", "a\\|b", 'a"b', "a\nb", "a\r\nb", "=1+1", "@SUM(1)",
    "é", "e\u0301", "👩‍👩‍👧", "\u202edcba", "\ufeffa", "a\0b", "a\0c", "NA", "nan", "None", "<NA>", "1", "1.0",
    " 1 ", "-0", "1e999", "0x1", "１", "true", "FALSE", "yes", "2020-02-29", "2020-02-30T25:00", "w" * 5000,
)  # fmt: skip
FLOATS = (
    0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3, 5e-324, -2e-310, 2.2250738585072014e-308, 2.0**53, 2.0**53 + 2,
    16777217.0, 1e16, -1e300, 1e300, float("inf"), float("-inf"), float("nan"),
)  # fmt: skip
INTS = (
    0, 1, -1, 127, 128, -128, 255, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53, 2**53 + 1, -(2**53) - 1,
    2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1,
)  # fmt: skip
FIRST, LAST = (
    int(np.datetime64(t, "us").astype("int64")) for t in ("1678-01-01", "2261-12-31T23:59:59")
)
TIMES = (
    FIRST, LAST, 0, -1, 1, 951_868_799_999_999,  # 2000-02-29T23:59:59.999999
    1_583_650_800_000_000, 1_604_210_400_000_000, -2_717_650_800_000_000,  # New York's clocks change
)  # fmt: skip

VALUES = {
    "text": st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8"), max_size=4),
    "float64": st.sampled_from(FLOATS) | st.floats(-1e300, 1e300) | st.integers(-3, 3).map(float),
    "float32": st.sampled_from(FLOATS) | st.floats(-1e6, 1e6, width=32),
    "int64": st.sampled_from(INTS) | st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1),
    "int32": st.integers(0, 4) | st.just(2**31 - 1),
    "bool": st.booleans(),
    "datetime": st.sampled_from(TIMES) | st.integers(FIRST, LAST),
}  # fmt: skip


def column_values(draw, dtype, rows):
    """Values of a column of so many rows, None where missing: mixed, of few values, constant, none."""
    one = VALUES[dtype]
    kind = draw(st.sampled_from(("mixed", "few", "few", "constant", "none")))
    if kind == "none":
        return [None] * rows
    if kind == "constant":
        return [draw(one)] * rows
    if kind == "few":
        one = st.sampled_from(draw(st.lists(one, min_size=1, max_size=3)))
    return draw(st.lists(st.none() | one, min_size=rows, max_size=rows))


def stored(values, dtype):
    """A column in storage form of values that may be None."""
    missing = np.array([v is None for v in values], dtype=bool)
    if dtype == "text":
        words = list(dict.fromkeys(v for v in values if v is not None))
        codes = np.array([-1 if v is None else words.index(v) for v in values], dtype="int32")
        return cpu.make_text(codes, np.array(words, dtype=object))
    if dtype in ("float64", "float32"):
        with np.errstate(over="ignore"):
            return cpu.make_series(
                np.array([np.nan if v is None else v for v in values], "float64").astype(dtype),
                dtype,
            )
    made = np.array([0 if v is None else v for v in values], dtype="int64")
    return cpu.make_series(made.astype("bool") if dtype == "bool" else made, dtype, missing)  # fmt: skip


@dataclass
class Table:
    """A frame in the making: an op's strategy takes the columns that it needs."""

    draw: Any
    rows: int
    columns: dict[str, tuple[str, list[Any]]] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def one(self, *dtypes, names=NAMES):
        """The name of a new column of one of these dtypes."""
        name = self.draw(st.sampled_from([n for n in names if n not in self.columns]))
        dtype = self.draw(st.sampled_from(dtypes or EVERY))
        self.columns[name] = (dtype, column_values(self.draw, dtype, self.rows))
        return name

    def some(self, *dtypes, most=2):
        """The names of one or more new columns."""
        return [self.one(*dtypes) for _ in range(self.draw(st.integers(1, most)))]

    def of(self, *values):
        """One of these values."""
        return self.draw(st.sampled_from(values))

    def flag(self):
        """True or False."""
        return self.draw(st.booleans())

    def naming(self, *patterns):
        """``as`` or not."""
        pattern = self.of(None, *(patterns or ("{column} made", "{column}__te")))
        return {} if pattern is None else {"as": pattern}

    def frame(self):
        """(schema, host frame)."""
        made = {name: stored(values, dtype) for name, (dtype, values) in self.columns.items()}
        schema = Schema(tuple(Column(n, dtype) for n, (dtype, _) in self.columns.items()))
        return schema, cpu.make_frame(made)
