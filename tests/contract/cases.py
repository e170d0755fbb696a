"""A table of cases for every op: its variants, and the data that try them.

`tests/contract` asks of each what every op must keep, `tests/conformance` runs each behind the cuDF
proxy. An op of the registry without a case fails both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.device import cpu
from pipeline.features.op import Rows
from pipeline.features.registry import parse_op
from pipeline.features.try_op import bind_side_table, make_frame, make_side_table

N = 240
BLANK = slice(100, 120)  # rows where everything is missing, but for the unique number
TASKS = {"regression": 0, "binary": 2, "multiclass": 3}


def mixed(seed=0, n=N):
    """Columns of every storage dtype with gaps, odd names, and one of nothing but gaps each."""
    rng = np.random.default_rng(seed)
    gap = rng.random((n, 16)) < 0.12
    gap[BLANK] = True
    words = np.array(["a", "b", "ü ß", "", "x__y", "a|b", "naïve", "$1.00"], dtype=object)
    shares = [0.3, 0.2, 0.2, 0.1, 0.08, 0.05, 0.05, 0.02]
    start = pd.Timestamp("2020-02-20")
    columns = {
        "text é": pd.Series(rng.choice(words, n, p=shares), dtype=object),
        "a.b c": pd.Series(rng.integers(-4, 9, n), dtype="Int64"),
        "x": pd.Series(rng.normal(3, 2, n).round(2)),
        "big": pd.Series(2**60 + rng.integers(0, 5, n), dtype="Int64"),
        "bool": pd.Series(rng.random(n) < 0.4, dtype="boolean"),
        "when": pd.Series(start + pd.to_timedelta(rng.integers(0, 9999, n), "h")).astype("datetime64[us]"),
        "later": pd.Series(start + pd.to_timedelta(rng.integers(0, 10**9, n), "s")).astype("datetime64[us]"),
        "code": pd.Series(rng.integers(0, 6, n), dtype="Int32"),
        "lat": pd.Series(rng.uniform(-90, 90, n)),
        "lon": pd.Series(rng.uniform(-180, 180, n)),
        "digits": pd.Series(rng.integers(0, 30, n).astype(str), dtype=object),
        "none": pd.Series(np.full(n, np.nan)),
        "no text": pd.Series([None] * n, dtype=object),
    }  # fmt: skip
    data = {name: s.mask(gap[:, i]) for i, (name, s) in enumerate(columns.items())}
    data["x"] = data["x"].mask(rng.random(n) < 0.02, np.inf)
    return {**data, "id": pd.Series(rng.permutation(n), dtype="int64")}


def unseen(seed=9, n=60):
    """New rows: values that no training row has, beside some that they have."""
    data = mixed(seed, N)
    data = {name: s.iloc[80 : 80 + n].reset_index(drop=True) for name, s in data.items()}
    odd = np.arange(n) % 3 == 0
    data["text é"] = data["text é"].mask(odd, "never seen ☃")
    data["digits"] = data["digits"].mask(odd, "999")
    data["a.b c"] = data["a.b c"].mask(odd, 10**15)
    data["x"] = data["x"].mask(odd, -1e30)
    data["code"] = data["code"].mask(odd, 4000)
    data["when"] = data["when"].mask(odd, pd.Timestamp("1969-12-31 23:59:59.999999"))
    data["id"] = data["id"] + 10 * N
    return data


def clean_digits(seed=0, n=N):
    """`mixed` without what the strict casts refuse."""
    data = mixed(seed, n)
    data["x"] = data["x"].round(0).replace(np.inf, 0.0)
    return data


def shops():
    """Side tables: two keys of different types, and a text key that has rows no data has."""
    return {
        "shops": make_side_table(
            {"text é": ["b", "zz", "a", "ü ß", ""], "size": pd.Series([1, 2, None, 4, 5], dtype="Int64"),
             "owner": ["Ann", None, "Bob", "Ann", "Ön"], "since": pd.to_datetime(["2001-01-01", None, "1969-07-20", "2020-02-29", "2000-01-01"]).to_series().reset_index(drop=True),
             "open": [True, False, None, True, True], "x": [0.5, None, 1.5, 2.5, 3.5]},
            keys=["text é"],
        ),
        "grid": make_side_table(
            {"a.b c": [-4, 0, 3, 8, 3, 99], "text é": ["a", "a", "b", "ü ß", "a", "a"], "score": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]},
            keys=["a.b c", "text é"],
        ),
    }  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One op entry with its data. ``together``: a column whose equal values share a partition."""

    entry: Mapping[str, Any]
    data: Any = mixed
    new: Any = unseen
    task: str = "regression"
    tables: Any = dict
    together: str = ""
    sample_rate: float = 1.0
    weighted: bool = False

    @property
    def op_name(self):
        return next(iter(self.entry))

    @property
    def id(self):
        detail = str(self.entry[self.op_name]).replace("'", "")[:70]
        extra = "" if self.task == "regression" else f" {self.task}"
        extra += " sample" if self.sample_rate < 1 else ""
        return f"{self.op_name} {detail}{extra}{' weighted' if self.weighted else ''}"


def case(name, parameters, **more):
    return Case({name: parameters}, **more)


def learnt(name, parameters, **more):
    """The op on all rows, and on a sample of them."""
    return [case(name, parameters, **more), case(name, parameters, sample_rate=0.5, **more)]


def weighed(name, parameters, **more):
    """The op on rows with weights."""
    return case(name, parameters, weighted=True, **more)


ANY = ["text é", "a.b c", "x", "bool", "when", "code", "none", "no text"]
NUMBERS = ["a.b c", "x", "none"]
ENCODE = {"columns": ["text é", "a.b c", "when", "no text"], "folds": 3, "smooth": 5}
GROUPS = {"stats": ["mean", "std", "min", "max", "sum", "count"]}

CASES = [
    case("aggregate", {"by": ["text é"], "columns": ["x", "a.b c", "bool", "none"], **GROUPS}),
    case("aggregate", {"by": ["text é", "code", "when"], "columns": ["x"], "as": "{column} {stat}", **GROUPS}),
    case("bucket", {"columns": NUMBERS, "edges": [-1.5, 0, 0.1, 7]}),
    *learnt("bucket", {"columns": NUMBERS, "quantiles": 4, "as": "{column} bucket"}),
    case("cast", {"columns": ["a.b c", "bool", "digits"], "to": "float", "as": "{column} f"}),
    case("cast", {"columns": ["x", "bool", "digits", "code"], "to": "integer"}, data=clean_digits, new=clean_digits),
    case("cast", {"columns": ["text é", "x", "digits"], "to": "integer", "errors": "missing"}),
    case("cast", {"columns": ["text é", "a.b c", "x"], "to": "bool", "errors": "missing"}),
    case("cast", {"columns": ["a.b c", "x", "bool", "when", "code"], "to": "text"}),
    case("cast", {"columns": ["text é", "digits", "a.b c"], "to": "datetime", "errors": "missing"}),
    case("cast", {"columns": ["a.b c", "bool"], "to": "category", "errors": "missing"}),
    case("categorify", {"columns": ANY}),
    case("categorify", {"columns": ANY, "min_count": 9, "max_size": 3, "as": "{column} code"}),
    case("clip", {"columns": NUMBERS, "lower": 0, "upper": 2.5}),
    case("clip", {"columns": ["x"], "upper": 1, "as": "{column} low"}),
    case("count_encode", {"columns": ANY}),
    case("count_encode", {"columns": ["text é", "big"], "normalize": True, "as": "{column} n"}),
    case("cross", {"columns": ["text é", "code", "bool"]}),
    case("cross", {"columns": ["when", "x", "no text"], "as": "all three"}),
    case("dates", {"columns": ["when", "later"]}),
    case("dates", {
        "columns": ["later"], "tz": "America/New_York", "cyclical": True, "keep": True,
        "parts": ["year", "quarter", "month", "week", "day", "day_of_year", "day_of_week", "hour", "minute", "second", "is_weekend", "is_month_start", "is_month_end"],
    }),
    case("derive", {"sum": "`a.b c` + x * 2", "flag": "sum > 3 and not bool", "word": "coalesce(`text é`, 'none')"}),
    case("derive", {"gap": "later - when", "safe": "where(is_missing(x), 0, x / `a.b c`)", "x": "x in [1, 2]"}),
    case("derive", {"a": "`text é` == 'a' or digits < '2'", "b": "big % 7 // 2", "c": "min(x, lat, 3)", "d": "when > '2020-06-01'"}),
    case("drop", ["text é", "numeric"]),
    case("elapsed", {"from": "when", "to": "later", "unit": "hours"}),
    case("elapsed", {"from": "2020-01-01", "to": "later", "as": "age"}),
    *learnt("fill", {"columns": NUMBERS, "with": "median", "indicator": True}),
    *learnt("fill", {"columns": NUMBERS, "with": "mean", "as": "{column} filled"}),
    case("fill", {"columns": ANY, "with": "most_frequent", "indicator": True}),
    case("fill", {"columns": ["text é", "no text"], "with": "?"}),
    case("fill", {"columns": ["a.b c", "x", "none"], "with": 0}),
    case("fill", {"columns": ["bool"], "with": False}),
    case("fill", {"columns": ["when"], "with": "2020-02-29"}),
    case("filter", "x > 2 and bool"),
    case("hash", {"columns": ANY, "size": 16}),
    case("hash", {"columns": ["text é"], "seed": 7, "as": "{column} h"}),
    case("haversine", {"from": ["lat", "lon"], "to": [40.6, -73.8]}),
    case("haversine", {"from": ["lat", "lon"], "to": ["x", "a.b c"], "unit": "mi", "as": "far"}),
    case("join", {"table": "shops"}, tables=shops),
    case("join", {"table": "shops", "columns": ["owner", "open"]}, tables=shops),
    case("join", {"table": "grid"}, tables=shops),
    case("keep", ["text é", "x"]),
    case("lag", {"by": ["text é"], "order": "when", "columns": ["x", "bool", "none"], "shift": [1, 3], "diff": 2,
                 "rolling": {"window": 4, "stats": ["mean", "sum", "min", "max", "std", "count"]}}, together="text é"),
    case("lag", {"by": ["code", "bool"], "order": "a.b c", "columns": ["x"], "shift": 1, "gap": 2}, together="code"),
    case("log", {"columns": NUMBERS}),
    case("log", {"columns": ["x"], "base": 10, "offset": 2.5, "as": "{column} log"}),
    case("one_hot", {"columns": ["text é", "code", "bool", "no text"]}),
    case("one_hot", {"columns": ["text é", "a.b c"], "max_values": 3, "min_count": 5, "keep": True}),
    case("one_hot", {"columns": ["text é"], "values": {"text é": ["a", "zz", ""]}}),
    case("rename", {"text é": "word", "x": "a.b c", "a.b c": "x"}),
    *learnt("scale", {"columns": NUMBERS, "method": "standard"}),
    *learnt("scale", {"columns": NUMBERS, "method": "min_max", "as": "{column} s"}),
    *learnt("scale", {"columns": NUMBERS, "method": "robust"}),
    case("target_encode", ENCODE),
    case("target_encode", {**ENCODE, "as": "{column}_te"}, task="binary"),
    case("target_encode", {**ENCODE, "smooth": 0}, task="multiclass"),
    case("target_encode", {**ENCODE, "by": "group", "column": "code"}, task="binary"),
    *learnt("target_encode", {**ENCODE, "by": "time", "column": "later"}, task="binary"),
    weighed("aggregate", {"by": ["text é"], "columns": ["x", "a.b c", "none"], **GROUPS}),
    weighed("bucket", {"columns": NUMBERS, "quantiles": 4}, sample_rate=0.5),
    weighed("categorify", {"columns": ANY, "min_count": 9, "max_size": 3}),
    weighed("count_encode", {"columns": ANY, "normalize": True}),
    weighed("fill", {"columns": NUMBERS, "with": "median"}),
    weighed("fill", {"columns": NUMBERS, "with": "mean"}),
    weighed("fill", {"columns": ANY, "with": "most_frequent"}),
    weighed("one_hot", {"columns": ["text é", "a.b c"], "max_values": 3, "min_count": 5}),
    weighed("scale", {"columns": NUMBERS, "method": "standard"}),
    weighed("scale", {"columns": NUMBERS, "method": "robust"}),
    weighed("target_encode", ENCODE),
    weighed("target_encode", {**ENCODE, "by": "time", "column": "later"}, task="binary"),
    weighed("target_encode", {**ENCODE, "smooth": 0}, task="multiclass"),
]  # fmt: skip


# -- partitions ------------------------------------------------------------------------------------


def label_of(task, n, seed=5):
    """float64 labels of n rows."""
    rng = np.random.default_rng(seed)
    classes = TASKS[task]
    return rng.normal(10, 3, n) if classes == 0 else rng.integers(0, classes, n).astype("float64")


@dataclass(frozen=True)
class Setting:
    """A case with its op resolved and its rows on the host."""

    case: Case
    op: Any
    schema: Any
    host: pd.DataFrame
    label: np.ndarray
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def weight(self):
        """float64 (n,): weights of the rows, sums of which have rounding errors; some are equal."""
        return 0.1 * (1 + np.arange(len(self.host)) * 5 % 7)

    def rows(self, at, device=cpu, **changes):
        """The runner's knowledge of the rows at these positions."""
        weight = device.to_device(self.weight[at]) if self.case.weighted else None
        rows = Rows(
            device, device.to_device(np.asarray(at, dtype="int64")), device.to_device(self.label[at]),
            weight, self.case.task, TASKS[self.case.task], seed=3, sample_rate=self.case.sample_rate,
        )  # fmt: skip
        return replace(rows, **changes)

    def part(self, at, device=cpu, turn=0):
        """(frame, rows) of these positions; the text dictionary is the partition's own."""
        frame = self.host.iloc[at].reset_index(drop=True)
        for name in [c.name for c in self.schema if c.dtype == "text"]:
            if turn % 2:
                own = frame[name].cat.remove_unused_categories()
                frame[name] = own.cat.set_categories(own.cat.categories[::-1])
        return device.to_device(frame), self.rows(at, device)

    def parts(self, count, device=cpu):
        """So many partitions."""
        every = np.arange(len(self.host))
        if self.case.together:
            codes = self.host[self.case.together]
            codes = (
                codes.cat.codes if codes.dtype == "category" else codes.fillna(-1).astype("int64")
            )
            cuts = [every[(codes % count == i).to_numpy(bool)] for i in range(count)]
        else:
            cuts = np.array_split(every, count)
        return [self.part(at, device, turn) for turn, at in enumerate(cuts)]

    def uneven_parts(self, device=cpu):
        """An empty partition first, last and between, one of missing values only, one of one row."""
        if self.case.together:
            empty = self.part(np.arange(0), device)
            return [empty, *self.parts(2, device), empty]
        n = len(self.host)
        cuts = [range(0), range(1), range(1, BLANK.start), range(BLANK.start, BLANK.stop),
                range(0), range(BLANK.stop, n), range(0)]  # fmt: skip
        return [self.part(np.array(at, dtype="int64"), device, t) for t, at in enumerate(cuts)]

    def fresh(self, device=cpu):
        """(frame, rows) of new data, in the training schema's dtypes."""
        _, host = make_frame(self.case.new())
        ids = np.arange(len(host)) + len(self.host)
        rows = self.rows(
            np.arange(len(host)), device, ids=device.to_device(ids), label=None, predicting=True
        )
        return device.to_device(host), rows


def setting(chosen):
    """The case made ready."""
    tables = chosen.tables()
    op = bind_side_table(parse_op(chosen.entry), tables)
    schema, host = make_frame(chosen.data())
    return Setting(chosen, op, schema, host, label_of(chosen.task, len(host)), tables)
