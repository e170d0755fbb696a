"""A model against the baseline: the lead, its standard error, and what cannot be compared."""

import numpy as np
import pytest

from pipeline.evaluate import comparison
from pipeline.evaluate.comparison import compare_with_baseline
from pipeline.evaluate.metrics import measure, measure_baseline
from pipeline.matrix import Target

BINARY, NUMBER = Target("binary", (False, True)), Target("regression")
MANY = Target("multiclass", ("a", "b", "c"))


def draw(task, n, strength, seed=0):
    """Labels and scores that know them with some strength; 0: pure noise."""
    rng = np.random.default_rng(seed)
    if task is NUMBER:
        label = rng.normal(size=n)
        noise = rng.normal(size=n)
        return label, strength * label + 0.1 * noise, 0.0
    if task is BINARY:
        label = (rng.random(n) < 0.3).astype(float)
        logit = strength * label + rng.normal(size=n)
        return label, 1 / (1 + np.exp(-logit)), [0.7 * n, 0.3 * n]
    label = rng.integers(0, 3, n)
    raw = rng.gamma(2, 1, (n, 3)) + 5 * strength * (np.arange(3) == label[:, None])
    return label.astype(float), raw / raw.sum(axis=1, keepdims=True), [n / 3] * 3


@pytest.mark.parametrize("task", [BINARY, NUMBER, MANY], ids=lambda t: t.task)
def test_a_model_that_learned_is_beyond_noise_and_a_guess_is_not(task):
    label, score, prior = draw(task, 500, 0.8)
    assert compare_with_baseline(task, prior, label, score).is_beyond_noise
    beyond = [
        compare_with_baseline(
            task, prior, *reversed(draw(task, 200, 0.0, s)[1::-1])
        ).is_beyond_noise
        for s in range(40)
    ]
    assert sum(beyond) <= 4, "2 standard errors: about 1 of 44"


@pytest.mark.parametrize("task", [BINARY, NUMBER, MANY], ids=lambda t: t.task)
def test_the_lead_is_the_difference_of_the_metrics(task):
    label, score, prior = draw(task, 300, 0.5)
    weight = np.random.default_rng(1).integers(0, 4, 300).astype(float)
    own = measure(task, label, score, weight)
    base = measure_baseline(task, prior, label, weight)
    lead = {
        "binary": lambda: own["roc_auc"] - base["roc_auc"],
        "multiclass": lambda: base["log_loss"] - own["log_loss"],
        "regression": lambda: base["rmse"] ** 2 - own["rmse"] ** 2,
    }[task.task]()
    compared = compare_with_baseline(task, prior, label, score, weight)
    loss = base["rmse"] ** 2 if task is NUMBER else None
    assert compared.loss == (loss if loss is None else pytest.approx(loss))
    assert compared.lead == pytest.approx(lead, rel=1e-9)
    assert compared.error > 0


@pytest.mark.parametrize("task", [BINARY, NUMBER, MANY], ids=lambda t: t.task)
def test_the_error_is_the_spread_of_the_lead_over_samples(task):
    leads, errors = [], []
    for seed in range(300):
        label, score, prior = draw(task, 150, 0.4, seed)
        seen = compare_with_baseline(task, prior, label, score)
        leads.append(seen.lead)
        errors.append(seen.error)
    # 300 draws know their own spread to about 4 %
    assert np.mean(errors) == pytest.approx(np.std(leads), rel=0.15)


@pytest.mark.parametrize("task", [BINARY, NUMBER, MANY], ids=lambda t: t.task)
def test_rows_of_weight_0_do_not_count_and_equal_weights_change_nothing(task):
    label, score, prior = draw(task, 200, 0.3)
    plain = compare_with_baseline(task, prior, label[:100], score[:100])
    weight = np.repeat([3.0, 0.0], 100)
    weighted = compare_with_baseline(task, prior, label, score, weight)
    assert (weighted.lead, weighted.error) == pytest.approx((plain.lead, plain.error), rel=1e-9)


def test_what_cannot_be_compared_is_named():
    half = np.full(5, 0.5)
    same = compare_with_baseline(BINARY, [1, 1], np.ones(5), half)
    assert same.lead is None and not same.is_beyond_noise and "one class" in same.reason
    rare = compare_with_baseline(BINARY, [1, 1], np.array([0, 0, 0, 1.0]), half[:4])
    assert "one row of a class" in rare.reason
    diverged = compare_with_baseline(NUMBER, 0.0, np.zeros(3), np.array([1, np.inf, 2]))
    assert diverged.lead is None and "not finite" in diverged.reason
    large = compare_with_baseline(NUMBER, 0.0, np.zeros(3), np.full(3, 1e200))
    assert "too large" in large.reason
    assert "too few" in compare_with_baseline(NUMBER, 0.0, np.zeros(1), np.zeros(1)).reason


def test_a_perfect_ranking_is_beyond_noise_and_a_constant_is_not():
    label = np.repeat([0.0, 1.0], 10)
    assert compare_with_baseline(BINARY, [1, 1], label, label).is_beyond_noise
    flat = compare_with_baseline(BINARY, [1, 1], label, np.full(20, 0.3))
    assert flat.lead == 0 and not flat.is_beyond_noise
    mean = compare_with_baseline(NUMBER, 0.5, label, np.full(20, 0.5))
    assert mean.lead == 0 and not mean.is_beyond_noise


def test_many_rows_are_drawn_from_all_stretches(monkeypatch):
    monkeypatch.setattr(comparison, "MAX_ROWS", 100)
    label, score, prior = draw(NUMBER, 10_000, 0.8)
    rows = comparison._choose_rows(10_000)
    assert len(rows) == 100 and (np.diff(rows) > 0).all() and rows[0] < 100 and rows[-1] >= 9_900
    assert compare_with_baseline(NUMBER, prior, label, score).is_beyond_noise
