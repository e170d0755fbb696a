"""elapsed against datetime's own subtraction."""

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_laws import any_rows, assert_lawful, plain

from pipeline.errors import ConfigError
from pipeline.features.registry import parse_op
from pipeline.features.try_op import make_frame, try_op

SECONDS = {
    "seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800,
    "years": 365.2425 * 86400,
}  # fmt: skip
moments = st.none() | st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))


@pytest.mark.parametrize(
    "entry",
    [
        {"from": "when", "to": "2020-05-05 12:00"},
        {"from": dt.date(2020, 1, 1), "to": "when", "unit": "years", "as": "age"},
        {"from": "when", "to": "end"},
    ],
)
def test_keeps_the_laws(entry, tmp_path, device):
    data = any_rows()
    data["end"] = data["when"].shift(1)
    made, _ = assert_lawful({"elapsed": entry}, data, tmp_path, device)
    assert made.notna().any().all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(moments, moments), min_size=1, max_size=8), st.sampled_from(list(SECONDS))
)
def test_is_the_difference(pairs, unit):
    a, b = (pd.Series([p[i] for p in pairs], dtype="datetime64[us]") for i in (0, 1))
    made = try_op({"elapsed": {"from": "a", "to": "b", "unit": unit}}, {"a": a, "b": b})
    for found, (start, end) in zip(plain(made["a_to_b"]), pairs, strict=True):
        if start is None or end is None:
            assert found is None
        else:
            assert found == pytest.approx((end - start).total_seconds() / SECONDS[unit], rel=1e-12)


def test_fixed_moments_may_name_a_zone():
    data = {"a": pd.to_datetime(["2020-01-01"]).to_series(index=range(1))}
    made = try_op("elapsed: {from: a, to: '2020-01-01T00:00-05:00', unit: hours, as: h}", data)
    assert plain(made["h"]) == [5.0]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"from": "when", "to": "whem"}, "did you mean 'when'"),
        ({"from": "2020-01-01", "to": "2021-01-01"}, "both fixed"),
        ({"from": "when", "to": "float"}, "elapsed takes datetime columns"),
    ],
)
def test_refuses(entry, says):
    schema, _ = make_frame(any_rows(5))
    with pytest.raises(ConfigError, match=says):
        parse_op({"elapsed": entry}).reads(schema)


def test_refuses_the_same_twice_and_unknown_units():
    for wrong in ({"to": "a"}, {"to": "b", "unit": "fortnights"}):
        with pytest.raises(ConfigError):
            parse_op({"elapsed": {"from": "a", **wrong}})
