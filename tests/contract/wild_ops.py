"""For every op of the registry a random entry over the columns of a `wild.Table`."""

from __future__ import annotations

from hypothesis import strategies as st
from wild import EVERY, KEYS, NAMES, NUMERIC, VALUES, Table, stored

from pipeline.device import cpu

PLAIN = ("x", "y", "row", "set", "label", "a", "index", "größe", "a b", "0")
"""Names that stand in an expression, in backticks."""


def aggregate(t):
    stats = t.draw(
        st.lists(
            st.sampled_from(("mean", "std", "min", "max", "sum", "count")), min_size=1, unique=True
        )
    )
    by = t.some(*KEYS)
    return {
        "by": by,
        "columns": t.some(*NUMERIC, "bool"),
        "stats": stats,
        **t.naming("{column} {stat}"),
    }


def bucket(t):
    how = t.of({"edges": [-1.5, 0, 0.1, 7]}, {"edges": [0]}, {"quantiles": 3})
    return {"columns": t.some(*NUMERIC), **how, **t.naming()}


def cast(t):
    extra = t.of({}, {}, {"unit": "us"}, {"unit": "ms"}, {"format": "%d.%m.%Y %H:%M"})
    to = t.of("integer", "float", "bool", "text", "datetime", "category")
    return {"columns": t.some(), "to": to, "errors": "missing", **extra, **t.naming()}


def categorify(t):
    kept = t.of({}, {}, {"min_count": 2}, {"max_size": 1})
    return {"columns": t.some(), **kept, **t.naming()}


def clip(t):
    return {
        "columns": t.some(*NUMERIC),
        **t.of({"lower": 0}, {"upper": 2.5}, {"lower": -1e300, "upper": 1}),
    }


def count_encode(t):
    return {"columns": t.some(), "normalize": t.flag(), **t.naming()}


def cross(t):
    return {"columns": [t.one(), *t.some()], **t.of({}, {"as": "crossed"})}


def dates(t):
    zone = t.of({}, {"tz": "America/New_York"}, {"tz": "Asia/Kathmandu"}, {"tz": "Europe/London"})
    parts = ("year", "quarter", "month", "week", "day", "day_of_year", "day_of_week", "hour", "minute",
             "second", "is_weekend", "is_month_start", "is_month_end")  # fmt: skip
    chosen = t.draw(st.lists(st.sampled_from(parts), min_size=1, max_size=4, unique=True))
    return {
        "columns": t.some("datetime"),
        "parts": chosen,
        "cyclical": t.flag(),
        "keep": t.flag(),
        **zone,
    }


def derive(t):
    a, b = (f"`{t.one(*NUMERIC, 'int32', 'bool', names=PLAIN)}`" for _ in range(2))
    word, when = (f"`{t.one(dtype, names=PLAIN)}`" for dtype in ("text", "datetime"))
    sums = (f"{a} + {b}", f"{a} - {b}", f"{a} * {b}", f"{a} / {b}", f"{a} // {b}", f"{a} % {b}", f"{a} ** 2",
            f"min({a}, {b})", f"max({a}, 0, {b})", f"abs({a})", f"round({a}, 2)", f"log1p({a})", f"exp({a})",
            f"where(is_missing({a}), {b}, 1)", f"coalesce({a}, {b})", f"coalesce({word}, 'none')",
            f"where({when} > '2020-01-01', {word}, 'x')")  # fmt: skip
    return {"made": t.of(*sums), "true": condition(t, a, b, word, when)}


def condition(t, a, b, word, when):
    return t.of(
        f"{a} > {b}", f"{a} == {b}", f"{a} in [0, 1, 0.1]", f"0 < {a} <= {b}", f"{word} == 'a'", f"{word} < 'b'",
        f"{word} in ['', 'a\0b', 'é']", f"not is_missing({word})", f"{when} >= '1900-01-01'",
        f"{when} < '2020-02-29' or {a} != 1", f"is_missing({b}) and {when} > '1970-01-01'",
    )  # fmt: skip


def drop(t):
    kept = t.one()
    return [n for n in t.some() if n != kept]


def elapsed(t):
    end = t.one("datetime")
    start = t.of("1970-01-01", "2020-02-29T12:00+01:00") if t.flag() else t.one("datetime")
    return {
        "from": start,
        "to": end,
        "unit": t.of("seconds", "days", "years"),
        **t.of({}, {"as": "age"}),
    }


def fill(t):
    dtypes, value = t.of(
        (NUMERIC, "median"), (NUMERIC, "mean"), (EVERY, "most_frequent"), (("text",), "?"), (("text",), ""),
        ((*NUMERIC, "int32"), 0), (NUMERIC, -0.5), (("bool",), True), (("datetime",), "1678-01-01"),
    )  # fmt: skip
    return {"columns": t.some(*dtypes), "with": value, "indicator": t.flag(), **t.naming()}


def filter_(t):
    a, b = (f"`{t.one(*NUMERIC, names=PLAIN)}`" for _ in range(2))
    return condition(t, a, b, *(f"`{t.one(dtype, names=PLAIN)}`" for dtype in ("text", "datetime")))


def hash_(t):
    return {
        "columns": t.some(),
        "size": t.of(2, 16, 2**31 - 1),
        "seed": t.of(0, 2**32 - 1),
        **t.naming(),
    }


def haversine(t):
    places = [t.one(*NUMERIC), t.one(*NUMERIC)]
    return {
        "from": places,
        "to": t.of([40.6, -73.8], [-90, 0]),
        "unit": t.of("km", "mi"),
        **t.of({}, {"as": "far"}),
    }


def join(t):
    keys = t.some(*KEYS)
    rows = t.draw(st.integers(0, 5))
    data = {}
    for key in keys:
        dtype, own = t.columns[key]
        other = t.of("int64", "float64") if dtype in NUMERIC else dtype
        same = [v for v in own if v is not None and other == dtype]
        one = st.none() | (st.sampled_from(same) | VALUES[other] if same else VALUES[other])
        data[key] = (other, t.draw(st.lists(one, min_size=rows, max_size=rows)))
    side = Table(t.draw, rows)
    for _ in range(t.draw(st.integers(1, 2))):
        side.one(names=[n for n in NAMES if n not in data])
    data |= side.columns
    frame = cpu.make_frame({name: stored(values, dtype) for name, (dtype, values) in data.items()})
    frame.attrs["keys"] = tuple(keys)
    frame.attrs["types"] = {name: dtype for name, (dtype, _) in data.items()}
    t.tables["side"] = frame.loc[~frame.duplicated(keys).to_numpy()].reset_index(drop=True)
    return {"table": "side"}


def keep(t):
    t.one()
    return t.some()


def lag(t):
    by = t.some(*KEYS)
    order = t.one("int64", "float64", "datetime")
    looks = t.of({"shift": [1, 3]}, {"diff": 1}, {"shift": 1, "gap": 1},
                 {"rolling": {"window": 3, "stats": ["mean", "sum", "std", "min", "max", "count"]}})  # fmt: skip
    return {"by": by, "order": order, "columns": t.some(*NUMERIC, "bool"), **looks}


def log(t):
    return {
        "columns": t.some(*NUMERIC),
        "base": t.of("e", 2, 10),
        "offset": t.of(0, 1, 2.5),
        **t.naming(),
    }


def one_hot(t):
    kept = t.of({}, {"max_values": 2}, {"min_count": 2})
    return {"columns": t.some(*NUMERIC, "int32", "bool", "text"), "keep": t.flag(), **kept}


def rename(t):
    old = t.some(most=3)
    return dict(zip(old, [*old[1:], "renamed"], strict=True))


def scale(t):
    return {
        "columns": t.some(*NUMERIC),
        "method": t.of("standard", "min_max", "robust"),
        **t.naming(),
    }


def target_encode(t):
    by = t.of({}, {}, {"by": "group"}, {"by": "time"})
    columns = t.some()
    if by:
        by = {
            **by,
            "column": t.one(*(KEYS if by["by"] == "group" else ("datetime", "int64", "float64"))),
        }
    return {"columns": columns, "folds": t.of(2, 3), "smooth": t.of(0, 20), **by, **t.naming()}


ENTRIES = {
    "aggregate": aggregate, "bucket": bucket, "cast": cast, "categorify": categorify, "clip": clip,
    "count_encode": count_encode, "cross": cross, "dates": dates, "derive": derive, "drop": drop,
    "elapsed": elapsed, "fill": fill, "filter": filter_, "hash": hash_, "haversine": haversine,
    "join": join, "keep": keep, "lag": lag, "log": log, "one_hot": one_hot, "rename": rename,
    "scale": scale, "target_encode": target_encode,
}  # fmt: skip
