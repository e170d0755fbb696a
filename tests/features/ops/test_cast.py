"""cast: every pair of types, and the values that do not fit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.device import cpu
from pipeline.errors import ConfigError, DataError
from pipeline.features.op import Rows
from pipeline.features.registry import dump_op, parse_op
from pipeline.features.try_op import make_frame, try_op
from pipeline.schema import Column, Schema

B = pd.Series([True, None, False], dtype="boolean")
I = pd.Series([1, None, 0], dtype="Int64")  # noqa: E741
K = pd.Series([1, None, 0], dtype="Int32")
X = [1.0, None, 0.0]
D = pd.Series(
    pd.to_datetime(["2013-07-01T12:00:00.5", None, "1969-12-31T23:59:59"], format="ISO8601")
)
HIGH = 2**63 - 1


def cast(values, to, device=cpu, **more):
    entry = {"cast": {"columns": "c", "to": to, **more}}
    made = try_op(entry, {"c": values}, device=device)["c"]
    schema, _ = make_frame({"c": values})
    declared = parse_op(entry).produces(schema)
    assert str(made.dtype) == str(cpu.empty_frame(declared).dtypes.iloc[0])
    return [None if m else v for v, m in zip(made.tolist(), made.isna(), strict=True)]


@pytest.mark.parametrize(
    ("values", "to", "expected"),
    [
        (["1", None, " -22 "], "integer", [1, None, -22]),
        ([str(HIGH), "12.0", "1e3"], "integer", [HIGH, 12, 1000]),
        (["1", None, "-.5e-1"], "float", [1.0, None, -0.05]),
        (["TRUE", None, "n"], "bool", [True, None, False]),
        (["2013-07-01", None, "2013-07-01T02:00:00+02:00"], "datetime",
         [pd.Timestamp("2013-07-01"), None, pd.Timestamp("2013-07-01")]),
        (["a", None], "text", ["a", None]),
        (I, "integer", [1, None, 0]), (I, "float", [1.0, None, 0.0]), (I, "bool", [True, None, False]),
        (I, "text", ["1", None, "0"]), (I, "category", [1, None, 0]),
        (I, "datetime", [pd.Timestamp(1, unit="s"), None, pd.Timestamp(0)]),
        (K, "integer", [1, None, 0]), (K, "text", ["1", None, "0"]), (K, "category", [1, None, 0]),
        (X, "integer", [1, None, 0]), (X, "float", [1.0, None, 0.0]), (X, "bool", [True, None, False]),
        (X, "text", ["1.0", None, "0.0"]), (X, "category", [1, None, 0]),
        ([1.5, None], "datetime", [pd.Timestamp(1.5, unit="s"), None]),
        (B, "integer", [1, None, 0]), (B, "float", [1.0, None, 0.0]), (B, "bool", [True, None, False]),
        (B, "text", ["True", None, "False"]), (B, "category", [1, None, 0]),
        (D, "integer", [1372680000, None, -1]), (D, "float", [1372680000.5, None, -1.0]),
        (D, "text", ["2013-07-01T12:00:00.500000", None, "1969-12-31T23:59:59"]),
        (D, "datetime", [pd.Timestamp("2013-07-01T12:00:00.5"), None, pd.Timestamp("1969-12-31T23:59:59")]),
    ],
)  # fmt: skip
def test_every_pair(values, to, expected, device):
    found = cast(values, to, device)
    assert found == expected
    assert [type(v) for v in found] == [type(v) for v in expected]


def test_formats_and_units(device):
    stamps = [pd.Timestamp("2013-07-04"), None]
    assert cast(["04.07.2013", None], "datetime", device, format="%d.%m.%Y") == stamps
    assert cast(pd.Series(stamps), "text", device, format="%Y") == ["2013", None]
    assert cast([1372896000000], "datetime", device, unit="ms") == stamps[:1]
    assert cast(pd.Series(stamps), "integer", device, unit="us") == [1372896000000000, None]
    same_year = pd.Series(pd.to_datetime(["2013-01-01", "2013-05-05", "2014-01-01"]))
    assert cast(same_year, "text", device, format="%Y") == ["2013", "2013", "2014"]


MISFITS = [
    (["1", "x"], "integer", "'x'"), (["1", "1.5"], "integer", "'1.5'"),
    (["1", str(HIGH + 1)], "integer", "9223372036854775808"), (["1", "1_000"], "integer", "1_000"),
    (["1", ""], "integer", "''"), (["1", "1,5"], "float", "'1,5'"), (["1", "1e999"], "float", "1e999"),
    (["1", "nan"], "float", "nan"), (["yes", "maybe"], "bool", "'maybe'"), (["1", "٣"], "integer", "٣"),
    (["2013-07-01", "2013-02-30"], "datetime", "2013-02-30"), ([1.0, 2.5], "integer", "2.5"),
    ([1.0, np.inf], "integer", "inf"), ([1.0, 1e300], "integer", "1e\\+300"), ([1, 2], "bool", "2"),
    ([1, -1], "category", "-1"), ([1, 2**31], "category", "2147483648"), ([0.0, 0.5], "bool", "0.5"),
    ([0, HIGH], "datetime", str(HIGH)), ([0.0, np.inf], "datetime", "inf"),
    ([0.0, 1e308], "datetime", "1e\\+308"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "to", "shown"), MISFITS)
def test_what_does_not_fit(values, to, shown, device):
    with pytest.raises(DataError, match=f"(?s)column 'c' has 1 values.*not {to}.*row 1: .*{shown}"):
        cast(values, to, device)
    kept, gone = cast(values, to, device, errors="missing")
    assert kept is not None
    assert gone is None


def test_bad_dates_by_format(device):
    with pytest.raises(DataError, match="row 1: '2013-07-04'"):
        cast(["04.07.2013", "2013-07-04"], "datetime", device, format="%d.%m.%Y")


def test_the_error_names_record_numbers(device):
    op = parse_op({"cast": {"columns": "c", "to": "integer"}})
    _, host = make_frame({"c": ["7", None, "x", "y"]})
    rows = Rows(device, device.xp.asarray([100, 101, 102, 103]))
    with pytest.raises(
        DataError, match="(?s)2 values.*row 102: 'x'.*row 103: 'y'.*errors: missing"
    ):
        op.transform(device.to_device(host), {}, rows)


@given(
    values=st.lists(
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=40, deadline=None)
def test_numbers_survive_the_way_through_text(values):
    texts = cast(pd.Series(values, dtype="float64"), "text")
    assert (
        cast(pd.Series(texts, dtype=object), "float") == values
        if any(t is not None for t in texts)
        else texts == values
    )


@pytest.mark.parametrize("to", ["integer", "float", "bool", "datetime", "text"])
def test_empty_and_all_missing(to, device):
    op = parse_op({"cast": {"columns": "c", "to": to}})
    for values in (["a"], [1.5], [1], D.iloc[:1]):
        _, host = make_frame({"c": values})
        empty = device.to_device(host.iloc[:0].reset_index(drop=True))
        made = op.transform(empty, {}, Rows(device, device.xp.arange(0)))
        assert len(made) == 0
    assert cast(pd.Series([None, None], dtype=object), to, device) == [None, None]


@pytest.mark.parametrize(
    ("dtype", "to"),
    [("text", "category"), ("datetime", "category"), ("datetime", "bool"), ("bool", "datetime")],
)
def test_pairs_that_make_no_sense(dtype, to):
    with pytest.raises(ConfigError, match=f"'c' is {dtype} and cannot be {to}"):
        parse_op({"cast": {"columns": "c", "to": to}}).reads(Schema((Column("c", dtype),)))


def test_declared():
    schema = Schema((Column("c", "text"), Column("n", "int64")))
    op = parse_op({"cast": {"columns": ["c"], "to": "integer", "as": "{column}_n"}})
    assert op.produces(schema) == [Column("c_n", "int64")]
    assert (
        parse_op({"cast": {"columns": "n", "to": "category"}}).produces(schema)[0].kind
        == "category"
    )
    assert parse_op(dump_op(op)) == op
    for wrong in (
        {"to": "int"},
        {"to": "datetime", "format": "%Q"},
        {"to": "text", "errors": "no"},
    ):
        with pytest.raises(ConfigError):
            parse_op({"cast": {"columns": "c", **wrong}})
