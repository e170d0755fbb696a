"""join: what rows find, what they do not, and tables that are wrong."""

import numpy as np
import pandas as pd
import pytest

from pipeline.device import cpu
from pipeline.errors import ConfigError, DataError
from pipeline.features.engine import state_io as stored
from pipeline.features.op import Rows
from pipeline.features.registry import dump_op, parse_op
from pipeline.features.try_op import bind_side_table, fit_op, make_frame, make_side_table, try_op
from pipeline.schema import Column, Schema

WEATHER = make_side_table(
    {
        "origin": ["JFK", "EWR", "JFK", None],
        "hour": pd.to_datetime(["2013-01-01 05:00", "2013-01-01 05:00", "2013-01-01 06:00", None]),
        "temp": [1.5, None, 3.0, 9.0],
        "sky": ["grau", None, "klar", "x"],
        "rank": pd.Series([7, 8, None, 9], dtype="Int64"),
        "wet": [True, None, False, True],
        "seen": pd.to_datetime(["2013-01-01", "2013-01-02", None, None]),
    },
    keys=["origin", "hour"],
)
FLIGHTS = {
    "origin": ["EWR", "JFK", "JFK", None, "LGA", "JFK"],
    "hour": pd.to_datetime(
        ["2013-01-01 05:00", "2013-01-01 06:00", "2013-01-01 05:00", "2013-01-01 05:00",
         "2013-01-01 05:00", None]
    ),
    "temp": [0] * 6,
}  # fmt: skip


def fitted(entry, data, tables, device=cpu, parts=1):
    op = bind_side_table(parse_op(entry), tables)
    schema, host = make_frame(data)
    ids = np.arange(len(host))
    split = [
        (device.to_device(host.iloc[i].reset_index(drop=True)), Rows(device, device.to_device(i)))
        for i in np.array_split(ids, parts)
    ]
    return op, schema, fit_op(op, schema, split, tables), split


def test_every_dtype_is_found_by_two_keys(device):
    made = try_op("join: {table: w}", FLIGHTS, tables={"w": WEATHER}, device=device)
    assert list(made.columns) == ["w__temp", "sky", "rank", "wet", "seen"]
    assert made["w__temp"].tolist()[1:3] == [3.0, 1.5]
    assert made["w__temp"].isna().tolist() == [True, False, False, True, True, True]
    assert made["sky"].astype(object).where(made["sky"].notna(), None).tolist() == [
        None, "klar", "grau", None, None, None,
    ]  # fmt: skip
    assert made["rank"].fillna(-1).tolist() == [8, -1, 7, -1, -1, -1]
    assert made["wet"].fillna(True).tolist() == [True, False, True, True, True, True]
    assert made["seen"].isna().tolist() == [False, True, False, True, True, True]
    for name, dtype in [("rank", "Int64"), ("wet", "boolean"), ("seen", "datetime64[us]")]:
        assert made[name].dtype == dtype


@pytest.mark.parametrize("parts", [1, 3, 17])
def test_unmatched_rows_are_counted(parts, device):
    _, _, state, _ = fitted(
        {"join": {"table": "w", "columns": "temp"}}, FLIGHTS, {"w": WEATHER}, device, parts
    )
    assert (state["rows"], state["unmatched"], state["missing_key"]) == (6, 1, 2)


def test_the_state_goes_through_files_and_the_op_through_json(tmp_path, device):
    op, schema, state, split = fitted({"join": {"table": "w"}}, FLIGHTS, {"w": WEATHER}, device)
    again = stored.load(stored.dump(state, tmp_path, 0), tmp_path)
    same = parse_op(dump_op(op))
    assert same == op and same.produces(schema) == op.produces(schema)
    frame, rows = split[0]
    first = device.to_host(op.transform(frame[op.reads(schema)], state, rows))
    second = device.to_host(same.transform(frame[op.reads(schema)], again, rows))
    pd.testing.assert_frame_equal(first, second)


def test_only_used_columns_are_asked_for_and_kept():
    op, _, state, _ = fitted({"join": {"table": "w", "columns": ["temp"]}}, FLIGHTS, {"w": WEATHER})
    assert op.tables() == {"w": ["origin", "hour", "temp"]}
    assert list(state["table"].columns) == ["key_0", "key_1", "column_0"]
    assert set(op.types) == {"origin", "hour", "temp"}


def test_duplicate_keys_are_shown():
    table = make_side_table({"k": ["a", "b"] * 4 + ["c"], "v": range(9)}, keys=["k"])
    with pytest.raises(
        DataError, match=r"(?s)'t'.*2 duplicate keys.*k='a': 4 rows.*one row per key"
    ):
        try_op("join: {table: t}", {"k": ["a"]}, tables={"t": table})


def test_keys_of_unlike_types_are_refused_and_unlike_numbers_match(device):
    table = make_side_table({"k": [1.0, 2.0, None], "v": [10, 20, 30]}, keys=["k"])
    with pytest.raises(ConfigError, match="(?s)'k' is text in the data and float64 in table 't'"):
        try_op("join: {table: t}", {"k": ["1"]}, tables={"t": table})
    made = try_op("join: {table: t}", {"k": [2, 1, 5]}, tables={"t": table}, device=device)
    assert made["v"].fillna(0).tolist() == [20, 10, 0]


def test_unknown_columns_and_unbound_tables_are_config_errors():
    table = make_side_table({"k": [1], "value": [10]}, keys=["k"])
    with pytest.raises(ConfigError, match="(?s)no column 'valu'.*did you mean 'value'"):
        try_op("join: {table: t, columns: valu}", {"k": [1]}, tables={"t": table})
    schema = Schema((Column("k", "int64"),))
    with pytest.raises(ConfigError, match=r"data.tables.t"):
        parse_op({"join": {"table": "t"}}).reads(schema)
    with pytest.raises(ConfigError, match="t__value"):
        try_op("join: {table: t}", {"k": [1], "value": [1], "t__value": [1]}, tables={"t": table})


def test_empty_tables_partitions_and_all_missing_keys(device):
    empty = make_side_table(
        {"k": pd.Series([], dtype="Int64"), "v": pd.Series([], dtype="float64")}, ["k"]
    )
    made = try_op("join: {table: t}", {"k": [1, 2]}, tables={"t": empty}, device=device)
    assert made["v"].isna().all() and len(made) == 2
    full = make_side_table({"k": ["a"], "v": ["x"], "x": [1]}, ["k"])
    made = try_op("join: {table: t}", {"k": [None, None]}, tables={"t": full}, device=device)
    assert made.isna().all(axis=None) and len(made) == 2
    made = try_op(
        "join: {table: t}", {"k": ["a"]}, new={"k": pd.Series([], dtype=object)},
        tables={"t": full}, device=device,
    )  # fmt: skip
    assert len(made) == 0 and list(made.columns) == ["v", "x"]
