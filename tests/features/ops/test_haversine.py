"""haversine against the angle between vectors, and known distances."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_laws import assert_lawful, plain

from pipeline.errors import ConfigError
from pipeline.features.registry import parse_op
from pipeline.features.try_op import make_frame, try_op

R = 6371.0088
latitude, longitude = st.floats(-90, 90), st.floats(-360, 360)


def places(n=60):
    rng = np.random.default_rng(0)
    values = {"la": rng.uniform(-95, 95, n), "lo": rng.uniform(-180, 180, n)}
    values |= {"la 2": rng.integers(-90, 91, n) * 1.0, "lo 2": rng.uniform(-180, 180, n)}
    return {k: pd.Series(v).mask(rng.random(n) < 0.1) for k, v in values.items()}


@pytest.mark.parametrize(
    "entry",
    [
        {"from": ["la", "lo"], "to": ["la 2", "lo 2"]},
        {"from": ["la", "lo"], "to": [40.7, -74], "unit": "mi", "as": "to New York"},
    ],
)
def test_keeps_the_laws(entry, tmp_path, device):
    assert_lawful({"haversine": entry}, places(), tmp_path, device)


def by_vectors(a, b, c, d):
    def vector(lat, lon):
        lat, lon = math.radians(lat), math.radians(lon)
        return np.array(
            [math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)]
        )

    u, v = vector(a, b), vector(c, d)
    return R * math.atan2(np.linalg.norm(np.cross(u, v)), u @ v)


@settings(max_examples=60, deadline=None)
@given(latitude, longitude, latitude, longitude)
def test_is_the_angle_between_vectors(a, b, c, d):
    data = {"a": [a], "b": [b], "c": [c], "d": [d]}
    made = try_op("haversine: {from: [a, b], to: [c, d], as: x}", data)["x"][0]
    assert made == pytest.approx(by_vectors(a, b, c, d), abs=1e-3)
    back = try_op("haversine: {from: [c, d], to: [a, b], as: x}", data)["x"][0]
    assert made == pytest.approx(back, rel=1e-12, abs=1e-9)


def test_known_distances():
    data = {"la": [0.0, 90.0, 0.0, 0.0], "lo": [180.0, 0.0, 0.0, 1e-7]}
    made = plain(try_op("haversine: {from: [la, lo], to: [0, 0], as: x}", data)["x"])
    assert made == pytest.approx([math.pi * R, math.pi / 2 * R, 0.0, math.radians(1e-7) * R])
    miles = try_op("haversine: {from: [la, lo], to: [0, 0], unit: mi}", data)["distance_mi"]
    assert miles[0] == pytest.approx(math.pi * R / 1.609344)


def test_places_off_the_globe_have_no_distance():
    data = {"la": [90.01, None, 5.0, 5.0], "lo": [1.0, 1.0, np.inf, None]}
    made = try_op("haversine: {from: [la, lo], to: [0, 0], as: x}", data)
    assert made["x"].isna().all()


@pytest.mark.parametrize(
    "entry",
    [
        {"from": [95, 0], "to": ["la", "lo"]},
        {"from": [1, 2], "to": [3, 4]},
        {"from": [float("nan"), 2], "to": ["la", "lo"]},
        {"from": ["la"], "to": ["la", "lo"]},
    ],
)
def test_refuses(entry):
    with pytest.raises(ConfigError, match="haversine"):
        parse_op({"haversine": entry})


def test_refuses_other_columns():
    schema, _ = make_frame({"la": [1.0], "lo": [1.0], "t": ["x"]})
    for to, says in ((["la", "t"], "numeric"), (["la", "loo"], "'lo'"), (["la", "lo"], "same")):
        with pytest.raises(ConfigError, match=says):
            parse_op({"haversine": {"from": ["la", "lo"], "to": to}}).reads(schema)
