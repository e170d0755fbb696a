"""The profile of columns: equal on every layout of partitions, exact until there are many values."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.device import cpu
from pipeline.features.auto import profile
from pipeline.features.engine.transform import TransformContext
from pipeline.features.try_op import make_frame
from pipeline.schema import SET, Column, Schema

CONTEXT = TransformContext("cpu", 0, "regression", 0)
ROWS = 30


def of(schema, frame, cuts=()):
    edges = [0, *cuts, len(frame)]
    parts = [
        profile.summarise(frame.iloc[a:b], schema, CONTEXT)
        for a, b in zip(edges, edges[1:], strict=False)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = profile.merge(total, part)
    return profile.finish(total, schema)


def table():
    numbers = np.arange(ROWS)
    return make_frame(
        {
            "int": pd.Series([None if i % 7 == 0 else int(i % 5) for i in numbers], dtype="Int64"),
            "big": [2**60 + int(i) for i in numbers],
            "float": np.where(numbers % 4 == 0, np.nan, numbers / 3),
            "text é": [None if i % 6 == 0 else f"v{i % 4} 日本" for i in numbers],
            "bool": [None if i % 9 == 0 else bool(i % 2) for i in numbers],
            "when": pd.date_range("2020-01-01", periods=ROWS, freq="D"),
            "clock": pd.date_range("2020-01-01 06:00", periods=ROWS, freq="D"),
            "none": [np.nan] * ROWS,
            "one": [7] * ROWS,
        }
    )


@given(st.lists(st.integers(0, ROWS), max_size=5).map(sorted))
@settings(max_examples=25, deadline=None)
def test_every_layout_gives_the_same(cuts):
    schema, frame = table()
    assert of(schema, frame, cuts) == of(schema, frame)


def test_what_it_says():
    schema, frame = table()
    found = json.loads(json.dumps(of(schema, frame)))
    columns = found["columns"]
    assert found["rows"] == ROWS
    assert (columns["int"]["missing"], columns["int"]["distinct"]) == (5, 5)
    assert columns["big"]["low"] == 2**60  # exact, beyond what float64 holds
    assert columns["float"]["low"] == pytest.approx(1 / 3)
    assert columns["text é"]["distinct"] == 4
    assert columns["text é"]["values"][0].endswith("日本")
    assert [columns["when"]["clock"], columns["clock"]["clock"]] == [False, True]
    assert columns["none"]["missing"] == ROWS
    assert [n for n, c in columns.items() if c["constant"]] == ["none", "one"]


def test_only_training_rows_count():
    schema, frame = make_frame({"a": [1, 2, 3, 4]})
    marked = frame.assign(**{SET: cpu.make_series(np.array([0, 1, 2, 0]), "int32")})
    found = profile.finish(profile.summarise(marked, schema, CONTEXT), schema)
    assert (found["rows"], found["columns"]["a"]["high"]) == (2, 4)
    assert found["columns"]["a"]["values"] == [1, 4]


@pytest.mark.parametrize("kind", ["text", "int64"])
def test_many_values_are_estimated_alike_on_every_layout(kind, monkeypatch):
    monkeypatch.setattr(profile, "MAX_VALUES", 1_000)
    numbers = np.arange(20_000) % 10_000
    column = (
        cpu.make_text(numbers, np.array([f"k{i}" for i in range(10_000)], dtype=object))
        if kind == "text"
        else cpu.make_series(numbers, "int64")
    )
    schema, frame = Schema((Column("k", kind),)), pd.DataFrame({"k": column})
    whole = of(schema, frame)
    assert whole == of(schema, frame, [0, 17, 9_000, 9_001])
    found = whole["columns"]["k"]
    assert not found["exact"]
    assert found["distinct"] == pytest.approx(10_000, rel=0.15)
    assert found["rows_per_value"] == 2.0


def test_no_rows():
    schema, frame = table()
    found = of(schema, frame.iloc[:0])
    assert found["rows"] == 0
    assert all(c["constant"] for c in found["columns"].values())
