"""Any pandas frame as storage: what a scorer may be given."""

from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from pipeline.device import cpu
from pipeline.errors import DataError, SchemaError
from pipeline.ingest.pandas_input import from_pandas
from pipeline.schema import Column, Schema

SCHEMA = Schema(
    (
        Column("i", "int64"), Column("f", "float64"), Column("b", "bool"),
        Column("t", "datetime"), Column("s", "text"),
    )
)  # fmt: skip
STAMP = pd.Timestamp("2020-01-01 10:00")


def one(**columns):
    return pd.DataFrame({"i": [1], "f": [1.5], "b": [True], "t": [STAMP], "s": ["x"]} | columns)


def test_storage_dtypes():
    given = one(extra=[[1]])
    frame = from_pandas(given, SCHEMA)
    assert list(frame.columns) == SCHEMA.names
    assert (
        frame.dtypes.drop("s").to_list() == cpu.empty_frame(list(SCHEMA)).dtypes.drop("s").to_list()
    )
    assert frame.index.equals(pd.RangeIndex(1))
    assert "extra" in given


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("i", [1.0, np.nan], [1, None]),
        ("i", pd.array([1, None], "Int16"), [1, None]),
        ("i", pd.array([1, 2], "uint8"), [1, 2]),
        ("i", pd.Series([np.int32(5), None, 2.0], dtype=object), [5, None, 2]),
        ("i", pd.Series([2**62 + 1, None], dtype=object), [2**62 + 1, None]),
        ("i", [None, None], [None, None]),
        ("f", [1, 2], [1.0, 2.0]),
        ("f", pd.Series([Decimal("1.5"), None], dtype=object), [1.5, None]),
        ("f", pd.array([1, None], "Float32"), [1.0, None]),
        ("b", pd.Series([True, None], dtype=object), [True, None]),
        (
            "t",
            pd.Series([STAMP]).dt.tz_localize("Europe/Berlin"),
            [pd.Timestamp("2020-01-01 09:00")],
        ),
        ("t", ["2020-01-01 10:00", None], [STAMP, None]),
        ("t", pd.Series([date(2020, 1, 1)], dtype=object), [pd.Timestamp("2020-01-01")]),
        ("t", pd.Series([datetime(2020, 1, 1, 10)], dtype=object), [STAMP]),
        ("t", np.array(["2020-01-01T10"], "datetime64[s]"), [STAMP]),
        ("s", ["x", None], ["x", None]),
        ("s", pd.Categorical(["x", None, "y"]), ["x", None, "y"]),
        ("s", [np.nan, np.nan], [None, None]),
    ],
)
def test_dtypes_that_fit(name, given, stored):
    column = from_pandas(pd.DataFrame({name: given}), SCHEMA.select([name]))[name]
    made = [None if pd.isna(v) else v for v in column]
    assert made == stored
    expected = "category" if name == "s" else cpu.empty_frame([SCHEMA[name]])[name].dtype
    assert column.dtype == expected


@pytest.mark.parametrize(
    ("name", "given", "error", "message"),
    [
        ("i", ["1"], DataError, "column 'i', row 0: '1' is not an integer"),
        ("i", [1.5], DataError, "1.5 is not an integer"),
        ("i", [2**63], DataError, "is not an integer"),
        ("i", [True], SchemaError, "column 'i' is bool, it must be an integer"),
        ("f", ["x"], DataError, "'x' is not a number"),
        ("f", [STAMP], SchemaError, "it must be a number"),
        ("b", [1], SchemaError, "column 'b' is int64, it must be true or false"),
        ("b", ["yes"], DataError, "'yes' is not true or false"),
        ("t", ["31.1.2020"], DataError, "'31.1.2020' is not a timestamp"),
        ("t", [5], SchemaError, "it must be a timestamp"),
        ("s", [5], SchemaError, "column 's' is int64, it must be text"),
        ("s", pd.Series(["x", 5], dtype=object), DataError, "row 1: 5 is not text"),
        ("s", pd.Categorical([5]), DataError, "5 is not text"),
    ],
)
def test_values_that_do_not_fit(name, given, error, message):
    with pytest.raises(error, match=message):
        from_pandas(pd.DataFrame({name: given}), SCHEMA.select([name]))


def test_names_that_do_not_fit():
    with pytest.raises(
        SchemaError, match=r"lacks 2 of 5[\s\S]*- i \(int64\)[\s\S]*did you mean 'ii'"
    ):
        from_pandas(one().rename(columns={"i": "ii"}).drop(columns="f"), SCHEMA)
    double = pd.concat([one(), one()[["i"]]], axis=1)
    with pytest.raises(SchemaError, match="'i' 2 times"):
        from_pandas(double, SCHEMA)


def test_no_rows():
    assert len(from_pandas(one().iloc[:0], SCHEMA)) == 0
