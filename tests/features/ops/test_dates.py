"""dates against the standard library's calendar, zones included."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_laws import any_rows, assert_lawful, plain

from pipeline.errors import ConfigError
from pipeline.features.registry import parse_op
from pipeline.features.try_op import make_frame, try_op
from pipeline.schema import Column

PARTS = {
    "year": lambda t: t.year,
    "quarter": lambda t: (t.month + 2) // 3,
    "month": lambda t: t.month,
    "week": lambda t: t.isocalendar().week,
    "day": lambda t: t.day,
    "day_of_year": lambda t: t.timetuple().tm_yday,
    "day_of_week": lambda t: t.weekday(),
    "hour": lambda t: t.hour,
    "minute": lambda t: t.minute,
    "second": lambda t: t.second,
    "is_weekend": lambda t: t.weekday() >= 5,
    "is_month_start": lambda t: t.day == 1,
    "is_month_end": lambda t: (t + pd.Timedelta(days=1)).day == 1,
}


def stamps(values):
    plain_utc = [None if v is None else v.replace(tzinfo=None) for v in values]
    return pd.Series(plain_utc, dtype="datetime64[us]")


@pytest.mark.parametrize(
    "entry",
    [
        {"columns": "datetime", "parts": list(PARTS)},
        {"columns": "when", "parts": list(PARTS), "cyclical": True, "keep": True},
        {"columns": "when", "tz": "Asia/Kathmandu"},
    ],
)
def test_keeps_the_laws(entry, tmp_path, device):
    data = any_rows()
    made, _ = assert_lawful({"dates": entry}, data, tmp_path, device)
    missing = pd.Series(data["when"]).isna()
    assert all((made[name].isna() == missing).all() for name in made.columns)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.none() | st.datetimes(datetime(1950, 1, 1), datetime(2037, 1, 1)), max_size=8),
    st.sampled_from([None, "America/New_York", "Australia/Lord_Howe", "Europe/Dublin"]),
)
def test_parts_are_those_of_the_local_time(values, tz):
    data = {"at": stamps(values)}
    made = try_op({"dates": {"columns": "at", "parts": list(PARTS), "tz": tz}}, data)
    local = [
        v if v is None or tz is None else v.replace(tzinfo=UTC).astimezone(ZoneInfo(tz))
        for v in values
    ]
    local = [v if v is None else v.replace(tzinfo=None) for v in local]
    for part, of in PARTS.items():
        expected = [None if v is None else of(v) for v in local]
        assert plain(made[f"at__{part}"]) == expected, part


def test_summer_time():
    data = {"at": stamps([datetime(2013, 1, 1, 5), datetime(2013, 7, 1, 5)])}
    made = try_op("dates: {columns: at, parts: hour, tz: America/New_York}", data)
    assert plain(made["at__hour"]) == [0, 1]


def test_times_that_pythons_calendar_lacks_have_no_local_time():
    far = np.array(["0001-01-01", "0001-01-02", "9999-12-30", "20000-01-01"], "datetime64[us]")
    made = try_op("dates: {columns: at, parts: year, tz: Asia/Kathmandu}", {"at": pd.Series(far)})
    assert plain(made["at__year"]) == [None, 1, 9999, None]
    made = try_op("dates: {columns: at, parts: year}", {"at": pd.Series(far)})
    assert plain(made["at__year"]) == [1, 1, 9999, 20000]


def test_cyclical_parts_meet_at_the_turn():
    data = {"at": stamps([datetime(2020, 1, 1), datetime(2020, 12, 1), None])}
    made = try_op("dates: {columns: at, parts: [month, year], cyclical: true}", data)
    assert list(made.columns) == ["at__month_sin", "at__month_cos", "at__year"]
    assert plain(made["at__month_sin"])[::2] == [0.0, None]
    assert math.isclose(made["at__month_sin"][1], -0.5)
    assert math.isclose(made["at__month_cos"][1], math.sqrt(3) / 2)


def test_the_column_goes_unless_kept():
    schema, _ = make_frame(any_rows(5))
    op = parse_op({"dates": {"columns": "when", "parts": ["hour", "hour", "is_weekend"]}})
    assert op.removes(schema) == ["when"]
    assert op.produces(schema) == [
        Column("when__hour", "int32", "numeric"), Column("when__is_weekend", "bool"),
    ]  # fmt: skip
    kept = parse_op({"dates": {"columns": "when", "keep": True}})
    assert "when" in kept.output_schema(schema)


def test_refuses_unknown_zones_parts_and_other_columns():
    with pytest.raises(ConfigError, match="did you mean 'America/New_York'"):
        parse_op({"dates": {"columns": "at", "tz": "America/NewYork"}})
    with pytest.raises(ConfigError, match="parts"):
        parse_op({"dates": {"columns": "at", "parts": ["fortnight"]}})
    schema, _ = make_frame(any_rows(5))
    with pytest.raises(ConfigError, match="dates takes datetime columns"):
        parse_op({"dates": {"columns": "a.b c"}}).reads(schema)
