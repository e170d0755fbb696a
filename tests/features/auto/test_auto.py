"""The automatic choice: each rule, and that what is chosen parses and leaves nothing but numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.device import cpu
from pipeline.errors import DataError
from pipeline.features.auto import profile
from pipeline.features.auto.choose import choose_ops, choose_per_column, find_free_text
from pipeline.features.engine.planner import resolve_ops, select_model_columns
from pipeline.features.engine.transform import TransformContext
from pipeline.features.op import Rows
from pipeline.features.registry import parse_ops
from pipeline.features.try_op import fit_op, make_frame
from pipeline.matrix import Target
from pipeline.schema import Schema

BINARY = Target("binary", (False, True))
N = 200
RNG = np.random.default_rng(0)


def profiled(data):
    schema, frame = make_frame(pd.DataFrame(data))
    seen = profile.summarise(frame, schema, TransformContext("cpu", 0, "binary", 2))
    return schema, frame, profile.finish(seen, schema)


def chosen(data, target=BINARY):
    schema, _, found = profiled(data)
    return choose_ops(schema, found, target)


def one(name, values, target=BINARY):
    """The choice for one column beside a plain number."""
    schema, _, found = profiled({"filler": RNG.normal(size=len(values)), name: values})
    return next(c for c in choose_per_column(schema, found, target) if c.column == name)


@pytest.mark.parametrize("data", [{"c": [1] * 9, "m": [np.nan] * 9}, {"c": ["x"] * 9}])
def test_nothing_to_learn_from_is_an_error_that_says_why(data):
    with pytest.raises(DataError, match="(?s)anything to learn from.*'c': every row has"):
        chosen(data)


@pytest.mark.parametrize("large", [np.inf, -np.inf, 1e39])
def test_numbers_beyond_float32_are_limited(large):
    values = np.r_[RNG.normal(size=N - 1), large]
    assert one("v", values).ops == (("clip", {"lower": -1e30, "upper": 1e30}),)
    values[:3] = np.nan
    assert one("v", values).ops and not one("v", values[:-1]).ops


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("all gone", [np.nan] * N, "every value is missing"),
        ("same", ["x"] * N, "every row has the same value"),
        ("one", [1] * N, "every row has the same value"),
        ("name", [f"p{i}" for i in range(N)], "almost every row has its own value"),
        ("n", np.arange(N), "it counts the rows"),
        ("n", np.random.default_rng(1).permutation(N) + 1, "it counts the rows"),
        ("order_id", np.arange(N) * 17 + 100_000, "an id by its name"),
        ("PassengerId", np.arange(N) * 3 + 800, "an id by its name"),
        ("Unnamed: 0", np.arange(N) + 500, "an id by its name"),
    ],
)
def test_left_out_with_the_reason(name, values, reason):
    choice = one(name, values)
    assert choice.dropped
    assert reason in choice.why


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("year", np.arange(1800, 1800 + N)),  # one row a year: no id
        ("population", RNG.permutation(10**6)[:N]),
        ("solid", np.arange(N)[::-1] * 1000 + 5),  # "id" inside a word
        ("grade", RNG.integers(1, 6, N)),
        ("x", RNG.normal(size=N)),
        ("gap", np.where(np.arange(N) % 2, np.nan, 1.0)),  # one value or none
        ("flag", RNG.random(N) < 0.5),
        ("id", RNG.integers(0, 2, N)),
        ("user_id", RNG.integers(0, 150, N)),  # too few rows a value to average
    ],
)
def test_left_as_it_is(name, values):
    choice = one(name, values)
    assert (choice.ops, choice.dropped) == ((), False)


def test_few_values_become_codes_and_many_the_targets_mean():
    assert one("c", [f"v{i % 20}" for i in range(N)]).ops == (("categorify", {}),)
    ((op, parameters),) = one("c", [f"v{i % 21}" for i in range(N)]).ops
    assert (op, parameters["folds"]) == ("target_encode", 5)


def test_text_with_one_value_or_none_becomes_codes():
    assert one("c", ["x" if i % 2 else None for i in range(N)]).ops == (("categorify", {}),)


def test_many_classes_do_not_make_a_column_each():
    target = Target("multiclass", tuple(range(30)))
    ((op, parameters),) = one("c", [f"v{i % 40}" for i in range(N)], target).ops
    assert (op, parameters) == ("categorify", {"max_size": 250})


def test_numbers_named_like_codes():
    assert one("store_id", np.arange(N) % 12).ops == (("categorify", {}),)
    ((op, parameters),) = one("zip code", np.arange(N) % 40 + 10_000).ops
    assert (op, parameters["as"]) == ("target_encode", "{column}_te")


def test_datetimes_become_parts_that_their_span_allows():
    days = one("when", pd.date_range("2020-02-03", periods=N, freq="D")).ops
    assert days[0] == ("derive", {"when__days": '(`when` - "2020-02-03") / 86400'})
    assert days[1] == ("dates", {"parts": ["month", "day", "day_of_week"]})
    hours = one("when", pd.date_range("2020-02-03", periods=N, freq="h")).ops
    assert hours[1] == ("dates", {"parts": ["hour"]})


def test_columns_of_the_target_are_passed_over():
    schema, _, found = profiled({"a": RNG.normal(size=N), "late": np.arange(N) % 2})
    marked = Schema(schema.columns, frozenset({"late"}))
    assert [c.column for c in choose_per_column(marked, found, BINARY)] == ["a"]


@pytest.mark.parametrize("values", [np.arange(N), [f"p{i}" for i in range(N)]])
def test_an_id_stays_where_nothing_else_is_left(values):
    schema, _, found = profiled({"id": values, "same": [1] * N})
    kept = [c for c in choose_per_column(schema, found, BINARY) if not c.dropped]
    assert [c.column for c in kept] == ["id"]
    assert "nothing else is left" in kept[0].why


def odd_table():
    return {
        "a b": [f"v{i % 3}" for i in range(N)],
        "naïve, {x}: #1": [f"w{i % 50}" for i in range(N)],
        "numeric": [f"w{i % 30}" for i in range(N)],
        "re:x": [f"p{i}" for i in range(N)],
        "when `ticked`": pd.date_range("2020-01-01", periods=N, freq="D"),
        "when": pd.date_range("2020-01-01", periods=N, freq="h"),
        "day + hour": pd.date_range("2020-01-01", periods=N, freq="17h"),
        "{id}": np.arange(N) % 40,
        "none": [np.nan] * N,
        "x": RNG.normal(size=N),
    }


@pytest.mark.parametrize(
    "target", [BINARY, Target("multiclass", ("a", "b", "c")), Target("regression")]
)
def test_the_choice_parses_runs_and_leaves_only_numbers(target):
    schema, frame, found = profiled(odd_table())
    classes = len(target.classes)
    schema = Schema(schema.columns, classes=target.classes if classes > 2 else ())
    entries, choices = choose_ops(schema, found, target)
    assert {c.column for c in choices if c.dropped} == {"re:x", "none"}
    ops = parse_ops(entries)
    walked = resolve_ops(ops, schema)
    labels = (np.arange(N) % max(classes, 2)).astype("float64")
    rows = Rows(cpu, np.arange(N), labels, None, target.task, classes)
    for op, before in zip(ops, walked.schemas, strict=False):
        state = fit_op(op, before, [(frame, rows)])
        made = op.transform(frame[op.reads(before)], state, rows)
        assert list(made.columns) == [c.name for c in op.produces(before)]
        frame = frame.drop(columns=op.removes(before)).assign(**{n: made[n] for n in made.columns})
    names = [f.name for f in select_model_columns(walked, {})]
    assert np.isfinite(cpu.to_matrix(frame, names)).all()
    assert not {"none", "re:x"} & set(names)


def free_text(values):
    """Return the use of a column of text, if it is free text."""
    schema, _, seen = profiled({"filler": RNG.normal(size=len(values)), "t": values})
    entries, choices = choose_ops(schema, seen, BINARY)
    return find_free_text(entries, {c.column for c in choices if c.dropped}, seen)


def test_free_text_that_is_left_out_or_encoded_as_a_whole_is_named():
    own = [f"the parcel of row {i}" for i in range(N)]
    assert free_text(own) == {"t": "is left out"}
    twice = [f"the parcel of row {i // 2}" for i in range(N)]
    assert free_text(twice) == {"t": "is only given to target_encode as a whole"}


@pytest.mark.parametrize(
    "values",
    [
        [f"row-{i}" for i in range(N)],  # ids
        [f"Jane {i // 2}" for i in range(N)],  # names
        [f"the Grand Prix of {i % 30}" for i in range(N)],  # long names, often repeated
        [f"a text of {i % 9} values" for i in range(N)],  # few values
        ["always the same text"] * N,
        [None] * N,
    ],
    ids=["ids", "names", "repeated", "few", "constant", "missing"],
)
def test_other_text_is_not(values):
    assert free_text(values) == {}
