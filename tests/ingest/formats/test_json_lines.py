"""JSON Lines give the same values as the CSV and Parquet of the same frame."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest
from formats_input import make_frame, read

from pipeline.errors import DataError, SchemaError
from pipeline.ingest.formats import json_lines


@pytest.mark.parametrize("block", [64, 16 << 20])
def test_values_are_those_of_parquet(tmp_path, monkeypatch, block):
    monkeypatch.setattr(json_lines, "BLOCK", block)
    frame = make_frame()
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True, date_format="iso")
    frame.to_parquet(tmp_path / "a.parquet")
    found, contract = read(tmp_path / "a.jsonl")
    expected, _ = read(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(found, expected)
    assert [n.kind for n in contract.notes] == ["format"]
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    pd.testing.assert_frame_equal(read(tmp_path / "b.ndjson.gz")[0], expected)


@pytest.mark.parametrize("block", [8, 16 << 20])
def test_columns_are_the_union_over_all_lines(tmp_path, monkeypatch, block):
    monkeypatch.setattr(json_lines, "BLOCK", block)
    lines = ['{"a": 1}', "", '{"b": null, "a": 2.5}', '{"b": "x", "o": {"p": 1}, "l": [1]}', "{}"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found, contract = read(tmp_path / "a.jsonl")
    assert found["a"].tolist()[:2] == [1, 2.5]
    assert found["a"].isna().tolist() == [False, False, True, True]
    assert found["b"].isna().tolist() == [True, True, False, True]
    assert contract.unreadable == {"o": "its values are objects", "l": "its values are lists"}


def test_times_keep_their_zone(tmp_path):
    text = '{"z": "2024-01-01T10:00:00+02:00", "n": "2024-01-01T10:00:00.123456789", "m": "x"}\n'
    text += '{"z": "2024-01-01T10:00:00Z", "n": "2024-01-01", "m": "2024-01-01"}\n'
    (tmp_path / "a.jsonl").write_text(text)
    found, contract = read(tmp_path / "a.jsonl")
    assert [(c.type, c.pattern) for c in contract.columns][:2] == [
        ("datetime", "iso zoned"),
        ("datetime", "iso"),
    ]
    assert found["z"].tolist() == [
        pd.Timestamp("2024-01-01 08:00"),
        pd.Timestamp("2024-01-01 10:00"),
    ]
    assert found["m"].tolist() == ["x", "2024-01-01"]


@pytest.mark.parametrize("block", [8, 16 << 20])
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"a": 1}', "", '{"a": "x"}'], r"line 3, column 'a': 'x' is text, and .* a number"),
        (['{"a": true}', '{"a": 1}'], r"line 2, column 'a': 1 is a number, and .* a bool"),
        (['{"a": [1]}', '{"a": {"b": 1}}'], r"line 2, column 'a': .* is an object, and .* a list"),
        (['{"a": 1}', '{"a": 2'], r"line 2 is not JSON"),
        (['{"a": 1}', '{"a": 2,}'], r"line 2 is not JSON"),
        (['{"a": 1}', "3"], r"line 2 is not an object: 3"),
        (['{"a": 1}', '{"a": "\udcff"}'], r"line 2 is not JSON: not UTF-8"),
    ],
)
def test_a_bad_line_is_named(tmp_path, monkeypatch, block, lines, message):
    monkeypatch.setattr(json_lines, "BLOCK", block)
    (tmp_path / "a.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.jsonl")


def test_a_json_array_is_refused_with_the_fix(tmp_path):
    for name in ("a.json", "a.jsonl"):
        make_frame().to_json(tmp_path / name, orient="records", date_format="iso")
        with pytest.raises(SchemaError, match=r"lines=True"):
            read(tmp_path / name)
