"""The statistics of leaks that no single score shows: entities, target means, noise, near copies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from pipeline.audit.evidence import LabeledColumn
from pipeline.audit.label_mean import measure_means
from pipeline.audit.likeness import compare_labels, rank_labels
from pipeline.audit.near_rows import NEIGHBOURS, estimate_dimensions, find_neighbours
from pipeline.audit.noisy_copy import compare_others, match_units

N = 4000


def drawn(seed=0):
    return np.random.default_rng(seed)


# -- entities --------------------------------------------------------------------------------------


def test_the_ratio_is_that_of_the_two_variances():
    """Against pairs counted one by one."""
    rng = drawn()
    codes, label = rng.integers(0, 12, 200), rng.normal(size=200)
    own = near = 0.0
    for value in range(1, 11):
        rows = label[codes == value]
        sides = np.add.outer(label[codes == value - 1], label[codes == value + 1]) / 2
        own += (len(rows) - 1) * rows.var(ddof=1)
        near += (len(rows) - 1) * (np.subtract.outer(rows, sides.ravel()) ** 2).mean() / 1.5
    found = compare_labels(codes, label[:, None])
    assert found.ratio == pytest.approx(own / near, abs=1e-4) and found.values == 10


TRENDS = {
    "none": lambda x: 0 * x,
    "a line": lambda x: 8 * x,
    "a wave": lambda x: 5 * np.sin(9 * x),
    "a step": lambda x: 9 * (x > 0.4),
}


@pytest.mark.parametrize("trend", TRENDS)
def test_what_a_number_measures_is_not_taken_for_a_name(trend):
    worst = 0.0
    for seed in range(20):
        rng = drawn(seed)
        codes = rng.integers(0, 300, N)
        label = TRENDS[trend](codes / 300) + rng.standard_t(3, N)
        found = compare_labels(codes, rank_labels(label)[:, None])
        assert found.ratio > 0.8, "the warning begins at 0.5"
        worst = min(worst, found.z)
    assert worst > -4


@pytest.mark.parametrize(("noise", "ratio"), [(0.0, 0.0), (0.1, 0.375), (0.5, 1.0)])
def test_a_name_has_the_ratio_of_its_labels_noise(noise, ratio):
    """Labels flipped with probability q vary by q(1-q) within an entity, and by p(1-p) between."""
    rng = drawn()
    codes = rng.integers(0, N // 5, N)
    label = (rng.random(N // 5) < 0.4)[codes] ^ (rng.random(N) < noise)
    found = compare_labels(codes, label[:, None].astype(float))
    assert found.ratio == pytest.approx(ratio, abs=0.07)
    assert (found.z < -10) == (noise < 0.5)


def test_a_number_without_repeated_values_names_nothing():
    assert compare_labels(np.arange(N), np.ones((N, 1))) is None
    assert compare_labels(np.zeros(N, dtype="int64"), np.ones((N, 1))) is None


# -- means of the target ---------------------------------------------------------------------------


def by_entity(seed=0, count=N, per=8, number=False):
    """(entity, label, sets) of rows whose entities have rates of their own."""
    rng = drawn(seed)
    entity = rng.integers(0, count // per, count)
    label = rng.normal(size=count // per)[entity] + rng.normal(size=count)
    return entity, label if number else (label > 0) * 1.0, rng.choice([0, 0, 0, 1, 2], count)


def mean_of(entity, label, rows):
    return (np.bincount(entity[rows], label[rows]) / np.bincount(entity[rows]))[entity]


@pytest.mark.parametrize("number", [False, True])
@pytest.mark.parametrize("change", [lambda v: v, lambda v: 100 * v - 3, lambda v: -v])
def test_a_mean_over_all_rows_is_certain_whatever_its_unit(number, change):
    entity, label, sets = by_entity(number=number)
    mean = change(mean_of(entity, label, slice(None)))
    found = measure_means(LabeledColumn(mean, label, sets), label, 0.0 if number else 1.0)
    assert found.severity == "fail" and found.equal == 1


@pytest.mark.parametrize("number", [False, True])
def test_a_mean_over_the_training_rows_is_no_leak(number):
    """It says nothing of test rows that they do not have in common with the training rows."""
    for seed in range(20):
        entity, label, sets = by_entity(seed, number=number)
        known = np.isin(entity, entity[sets == 0])
        entity, label, sets = np.unique(entity[known], return_inverse=True)[1], label[known], sets[known]  # fmt: skip
        mean = mean_of(entity, label, sets == 0)
        found = measure_means(LabeledColumn(mean, label, sets), label, 0.0 if number else 1.0)
        assert found.severity is None, (seed, found)


def test_a_rate_that_is_known_beforehand_is_no_leak():
    for seed in range(20):
        rng = drawn(seed)
        rate = rng.beta(2, 3, N // 8)
        entity = rng.integers(0, N // 8, N)
        label = (rng.random(N) < rate[entity]) * 1.0
        for known in (rate, rng.binomial(20, rate) / 20):
            column = LabeledColumn(known[entity], label, rng.choice([0, 0, 0, 1, 2], N))
            assert measure_means(column, label, 1.0).severity is None


def test_labels_with_a_fixed_sum_are_no_mean():
    """One winner per race: training and test labels of a race are negatively correlated."""
    rng = drawn()
    race = np.arange(N) // 4
    label = (rng.permuted(np.tile(np.arange(4), (N // 4, 1)), axis=1).ravel() == 0) * 1.0
    column = LabeledColumn(race * 1.0, label, rng.choice([0, 0, 0, 1, 2], N))
    found = measure_means(column, label, 1.0)
    assert found.z < -10 and found.severity is None


def test_a_line_through_two_values_proves_nothing():
    rng = drawn()
    label = (rng.random(N) < 0.3) * 1.0
    column = LabeledColumn(
        label * (rng.random(N) < 0.9) * np.pi, label, rng.choice([0, 0, 0, 1, 2], N)
    )
    found = measure_means(column, label, 1.0)
    assert found.equal == 1 and found.severity is None


# -- noise -----------------------------------------------------------------------------------------


def test_a_copy_with_noise_has_the_units_of_the_label():
    rng = drawn()
    label = (rng.random(N) < 0.4) * 1.0
    copy = LabeledColumn(label + 0.5 * rng.normal(size=N), label, label)
    assert match_units(copy, [[0.0, 1.0]]).units
    assert not match_units(copy, [[-1.0, 1.0]]).units
    y = 3 + 10 * rng.normal(size=N)
    assert match_units(LabeledColumn(y + 6 * rng.normal(size=N), y, label), None).units


def test_a_forecast_and_an_earlier_value_are_no_copies():
    """Their mean along the target has a slope below 1, though they are in its units."""
    for seed in range(20):
        rng = drawn(seed)
        level = 100 + 10 * rng.normal(size=N)
        y, last = level + 5 * rng.normal(size=N), level + 5 * rng.normal(size=N)
        assert not match_units(LabeledColumn(level, y, y), None).units
        assert not match_units(LabeledColumn(last, y, y), None).units


def test_another_slope_or_a_few_rows_of_an_earlier_value_are_no_copies():
    rng = drawn()
    y = rng.normal(size=N)
    assert not match_units(LabeledColumn(2 * y + rng.normal(size=N), y, y), None).units
    for seed in range(20):
        rng = drawn(seed)
        level = rng.normal(size=200)
        y, last = level + 0.3 * rng.normal(size=200), level + 0.3 * rng.normal(size=200)
        assert not match_units(LabeledColumn(last, y, y), None).units, seed


def test_two_causes_depend_on_each_other_given_the_label_and_a_copy_does_not():
    rng = drawn()
    x, z = rng.normal(size=(2, N))
    label = (1.5 * x + z + 0.5 * rng.normal(size=N) > 0) * 1.0
    assert compare_others(x, label, [z], N // 2) == 0
    copy = 7 * label + 5 * rng.normal(size=N)
    assert compare_others(copy, label, [z], N // 2) == 1
    assert compare_others(copy, label, [rng.normal(size=N)], N // 2) == 0, "that tells nothing"


# -- near copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [1, 2, 4])
def test_distances_of_independent_rows_are_as_the_theory_says(dimensions):
    rng = drawn()
    train, test = rng.random((20_000, dimensions)), 0.1 + 0.8 * rng.random((3000, dimensions))
    none = np.zeros((20_000, 0), "int64")
    found = find_neighbours(train, test, none, none[:3000])
    assert estimate_dimensions(found.distance) == pytest.approx(dimensions, rel=0.06)
    ratio = (found.distance[:, 0] / found.distance[:, -1]) ** dimensions
    for share in (0.01, 0.1):
        expected = beta(1, NEIGHBOURS - 1).cdf(share)
        assert (ratio < share).mean() == pytest.approx(expected, abs=0.02)


def test_text_that_differs_is_a_distance():
    train, test = np.arange(100.0)[:, None] / 1000, np.array([[0.05]])
    text = np.arange(100)[:, None] % 2
    found = find_neighbours(train, test, text, np.array([[1]]))
    assert found.distance[0, 0] == pytest.approx(0.001) and found.first[0] in (49, 51)
