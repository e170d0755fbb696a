"""Weighted quantiles: NumPy's of repeated rows, whatever the unit of the weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.device.weighted_quantiles import compute_weighted_quantiles

SHARES = [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.99, 1.0]
ROWS = st.lists(
    st.tuples(st.integers(-40, 40).map(lambda v: v / 8), st.integers(1, 5)), min_size=1, max_size=30
)


def quantiles(values, weights, shares=SHARES, device=None):
    xp = np if device is None else device.xp
    values, weights = np.asarray(values, "float64"), np.asarray(weights, "float64")
    if device is not None:
        values, weights = device.to_device(values), device.to_device(weights)
    return compute_weighted_quantiles(values, weights, shares, xp)


@settings(max_examples=200, derandomize=True)
@given(ROWS)
def test_whole_weights_are_repeated_rows(rows):
    values, weights = map(np.array, zip(*rows, strict=True))
    expected = np.quantile(np.repeat(values, weights), SHARES, method="linear")
    np.testing.assert_allclose(quantiles(values, weights), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=200, derandomize=True)
@given(ROWS, st.sampled_from([1e-18, 1e-3, 1 / 7]))
def test_the_unit_does_not_matter_if_weights_are_at_most_1_on_average(rows, unit):
    values, weights = map(np.array, zip(*rows, strict=True))
    weights = weights / weights.mean()
    expected = quantiles(values, weights)
    np.testing.assert_allclose(quantiles(values, weights * unit), expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=100, derandomize=True)
@given(ROWS, st.randoms())
def test_quantiles_rise_within_the_range_in_any_order(rows, random):
    values, weights = map(np.array, zip(*rows, strict=True))
    weights = weights * 0.3
    found = quantiles(values, weights)
    assert (np.diff(found) >= -1e-12).all()
    assert values.min() <= found[0] + 1e-12
    assert found[-1] <= values.max() + 1e-12
    order = random.sample(range(len(values)), len(values))
    np.testing.assert_allclose(quantiles(values[order], weights[order]), found, atol=1e-12)


def test_by_hand():
    # the weights are 1 1 1 | 3 3 | 10: rows 0 … 5, the median between the third and the fourth
    assert quantiles([10.0, 1.0, 3.0], [1.0, 3.0, 2.0], [0.5]) == [2.0]
    # a window as wide as the mean weight, 0.5: from 0.75 to 1.25 of 2.0
    assert quantiles([0, 1, 2, 3], [0.5] * 4, [0.5]) == [1.5]
    assert quantiles([0.1] * 3, [0.3, 0.2, 0.7], [0.3, 0.6]) == [0.1, 0.1]
    assert quantiles([5.0], [1e-18], SHARES) == [5.0] * len(SHARES)
    heavy = quantiles([0, 1, 2], [1, 1e18, 1], [0.001, 0.5, 0.999])
    assert heavy == [1.0, 1.0, 1.0]


def test_on_every_device(device):
    random = np.random.default_rng(0)
    values, weights = random.normal(size=1000).round(1), random.random(1000) + 0.1
    assert quantiles(values, weights, SHARES, device) == pytest.approx(quantiles(values, weights))
