"""Merged moments and quantiles against NumPy over all values at once."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.device import cpu
from pipeline.features.op import Rows
from pipeline.features.stats import moments as m


def of(values, start=0, rate=1.0, device=cpu):
    ids = device.to_device(np.arange(start, start + len(values)))
    series = device.make_series(device.to_device(np.asarray(values, "float64")), "float64")
    return series, Rows(device, ids, sample_rate=rate)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=12), min_size=1, max_size=5))
def test_merged_moments_are_those_of_all_values(parts):
    found = m.compute_moments(*of(parts[0]))
    for part in parts[1:]:
        found = m.merge_moments(found, m.compute_moments(*of(part)))
    values = np.array(sum(parts, []))
    assert found.n == len(values)
    if len(values):
        scale = np.abs(values).max()
        assert abs(found.mean - values.mean()) <= 1e-12 * scale
        assert abs(found.std - values.std()) <= 1e-9 * scale
        assert (found.low, found.high) == (values.min(), values.max())
    else:
        assert found == m.Moments(0, 0.0, 0.0, 0.0, 0.0)


def test_a_large_mean_does_not_cancel(device):
    values = 1e9 + np.random.default_rng(0).normal(size=3000)  # sums of squares give -209.7
    halves = [m.compute_moments(*of(values[i::2], device=device)) for i in (0, 1)]
    assert np.isclose(m.merge_moments(*halves).std, values.std(), rtol=1e-9)


def test_constants_have_no_spread_and_huge_values_a_mean():
    found = m.merge_moments(m.compute_moments(*of([0.1] * 3)), m.compute_moments(*of([0.1] * 7)))
    assert (found.mean, found.std) == (0.1, 0.0)
    huge = m.merge_moments(
        m.compute_moments(*of([1.7e308, 1.6e308])), m.compute_moments(*of([-1.7e308]))
    )
    assert np.isfinite(huge.mean)


def test_missing_and_infinite_values_are_left_out():
    found = m.compute_moments(*of([np.nan, np.inf, 1.0, -np.inf, 3.0]))
    assert (found.n, found.mean, found.low, found.high) == (2, 2.0, 1.0, 3.0)
    assert [a.tolist() for a in m.sample_values(*of([np.nan, np.inf, 2.0]))] == [[2.0]]


def test_the_sample_is_the_same_on_every_layout(device):
    values = np.arange(2000.0)
    (whole,) = m.sample_values(*of(values, rate=0.1, device=device))
    parts = [m.sample_values(*of(p, int(p[0]), 0.1, device)) for p in np.array_split(values, 7)]
    assert np.array_equal(np.concatenate([a for part in parts for a in part]), whole)
    assert 100 < len(whole) < 300
    assert m.compute_quantiles([whole[::-1]], [0.5]) == [pd.Series(whole).median()]
    assert m.compute_quantiles([whole[:0]], [0.1, 0.5]) == [0.0, 0.0]
