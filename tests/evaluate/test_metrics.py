import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pipeline.evaluate import metrics
from pipeline.evaluate.metrics import ScoredRows
from pipeline.matrix import Target

BINARY = Target("binary", (False, True))
THREE = Target("multiclass", ("a", "b", "c"))
REGRESSION = Target("regression")


def binary_rows(n=500, seed=0, weighted=False):
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.3).astype(float)
    score = np.clip(0.3 * label + rng.random(n) * 0.7, 0, 1).round(2)  # rounded: ties
    return label, score, rng.random(n) * 3 if weighted else None


@pytest.mark.parametrize("weighted", [False, True])
def test_binary_metrics_are_those_of_scikit_learn(weighted):
    y, p, w = binary_rows(weighted=weighted)
    found = metrics.measure(BINARY, y, p, w, threshold=0.4)
    called = p >= 0.5
    expected = {
        "roc_auc": sk.roc_auc_score(y, p, sample_weight=w),
        "average_precision": sk.average_precision_score(y, p, sample_weight=w),
        "log_loss": sk.log_loss(y, p, sample_weight=w),
        "accuracy": sk.accuracy_score(y, called, sample_weight=w),
        "precision": sk.precision_score(y, called, sample_weight=w),
        "recall": sk.recall_score(y, called, sample_weight=w),
        "f1": sk.f1_score(y, called, sample_weight=w),
        "threshold": 0.4,
        "f1_at_threshold": sk.f1_score(y, p >= 0.4, sample_weight=w),
    }
    assert found == pytest.approx(expected, rel=1e-12)
    assert list(found) == list(expected)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 3, 7])
def test_multiclass_metrics_are_those_of_scikit_learn(k, weighted):
    rng = np.random.default_rng(k)
    y = rng.integers(0, k, 400)
    p = rng.dirichlet(np.ones(k), 400)
    p[np.arange(400), y] += 0.3
    p /= p.sum(axis=1, keepdims=True)
    w = rng.random(400) if weighted else None
    area = (
        sk.roc_auc_score(y, p, multi_class="ovr", sample_weight=w)
        if k > 2
        else np.mean([sk.roc_auc_score(y == c, p[:, c], sample_weight=w) for c in (0, 1)])
    )
    expected = {
        "log_loss": sk.log_loss(y, p, sample_weight=w),
        "accuracy": sk.accuracy_score(y, p.argmax(1), sample_weight=w),
        "f1_macro": sk.f1_score(y, p.argmax(1), average="macro", sample_weight=w),
        "roc_auc_ovr": area,
    }
    target = Target("multiclass", tuple(range(k)))
    assert metrics.measure(target, y.astype(float), p, w) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_regression_metrics_are_those_of_scikit_learn(weighted):
    rng = np.random.default_rng(3)
    y = rng.normal(size=300)
    p, w = y + rng.normal(size=300), rng.random(300) if weighted else None
    assert metrics.measure(REGRESSION, y, p, w) == pytest.approx(
        {
            "rmse": sk.root_mean_squared_error(y, p, sample_weight=w),
            "mae": sk.mean_absolute_error(y, p, sample_weight=w),
            "r2": sk.r2_score(y, p, sample_weight=w),
        },
        rel=1e-12,
    )


def test_float32_scores_are_measured_in_float64():
    y, p, _ = binary_rows()
    assert metrics.measure(BINARY, y, p.astype(np.float32)) == metrics.measure(
        BINARY, y, p.astype(np.float32).astype(float)
    )


def test_a_pair_of_binary_columns_counts_as_the_positive_ones():
    y, p, _ = binary_rows()
    assert metrics.measure(BINARY, y, np.column_stack([1 - p, p])) == metrics.measure(BINARY, y, p)


def test_the_best_threshold_is_the_best_of_all_scores():
    y, p, w = binary_rows(weighted=True)
    by_hand = {t: sk.f1_score(y, p >= t, sample_weight=w) for t in np.unique(p)}
    assert by_hand[metrics.find_best_threshold(y, p, w)] == pytest.approx(max(by_hand.values()))


def test_a_threshold_is_never_sought_on_the_rows_measured():
    y, p, _ = binary_rows()
    found = metrics.measure(BINARY, y, p)
    assert found["threshold"] is None
    assert found["f1_at_threshold"] is None


@pytest.mark.parametrize("only", [0.0, 1.0])
def test_one_class_only_leaves_the_ranking_undefined(only):
    found = metrics.measure(BINARY, np.full(5, only), np.linspace(0, 1, 5))
    assert found["roc_auc"] is None
    assert found["average_precision"] is None
    assert found["log_loss"] > 0
    assert metrics.find_best_threshold(np.full(5, only), np.linspace(0, 1, 5)) is None


def test_nothing_called_positive_leaves_precision_undefined_but_not_f1():
    found = metrics.measure(BINARY, np.array([0.0, 1.0]), np.array([0.1, 0.2]))
    assert (found["precision"], found["recall"], found["f1"]) == (None, 0.0, 0.0)


def test_the_same_score_everywhere_ranks_by_chance():
    found = metrics.measure(BINARY, np.array([0.0, 1, 1, 0]), np.full(4, 0.5))
    assert found["roc_auc"] == 0.5
    assert found["average_precision"] == 0.5
    assert found["recall"] == 1.0  # a tie at 0.5 is called positive
    assert found["log_loss"] == pytest.approx(math.log(2))


def test_certainty_that_is_wrong_is_clipped():
    found = metrics.measure(BINARY, np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    assert found["log_loss"] == pytest.approx(-math.log(np.finfo(float).eps))


def test_classes_may_be_absent():
    y = np.array([0.0, 0, 2, 2])
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.1, 0.7], [0.1, 0.1, 0.8], [0.3, 0.1, 0.6]])
    found = metrics.measure(THREE, y, p)
    assert found["roc_auc_ovr"] == pytest.approx(0.75)
    assert found["accuracy"] == 0.75
    assert metrics.measure(THREE, y[:1], p[:1])["roc_auc_ovr"] is None


@pytest.mark.parametrize("target", [BINARY, THREE, REGRESSION])
@pytest.mark.parametrize("rows", [0, 1])
def test_no_row_and_one_row_never_fail(target, rows):
    score = np.full((rows, 3), 1 / 3) if target is THREE else np.full(rows, 0.5)
    found = metrics.measure(target, np.zeros(rows), score)
    assert set(found) == set(metrics.NAMES[target.task])
    json.dumps(found, allow_nan=False)
    if rows == 0:
        assert set(found.values()) == {None}


def test_a_constant_label_has_no_r2():
    assert metrics.measure(REGRESSION, np.full(7, 0.1), np.arange(7.0))["r2"] is None


@pytest.mark.parametrize("score", [np.nan, np.inf, 1e300])
def test_a_diverged_model_has_null_metrics(score):
    found = metrics.measure(REGRESSION, np.array([1.0, 2.0]), np.array([score, 0.0]))
    assert found["rmse"] is None
    json.dumps(found, allow_nan=False)


def test_rows_of_weight_zero_are_left_out():
    y, p, _ = binary_rows()
    weight = (np.arange(len(y)) % 2).astype(float)
    odd = weight == 1
    assert metrics.measure(BINARY, y, p, weight) == pytest.approx(
        metrics.measure(BINARY, y[odd], p[odd])
    )
    assert set(metrics.measure(BINARY, y, p, 0 * weight).values()) == {None}


def test_the_baseline_predicts_the_majority_and_its_frequencies():
    y = np.array([0.0, 1, 1, 1])
    found = metrics.measure_baseline(BINARY, [60, 40], y)
    assert found["accuracy"] == 0.25
    assert found["roc_auc"] == 0.5
    assert found["log_loss"] == pytest.approx(sk.log_loss(y, np.full(4, 0.4)))
    three = metrics.measure_baseline(THREE, [1, 8, 1], np.array([0.0, 1, 2]))
    assert three["accuracy"] == pytest.approx(1 / 3)
    assert metrics.measure_baseline(REGRESSION, 2.0, np.array([1.0, 4.0]))["mae"] == 1.5
    assert metrics.measure_baseline(BINARY, [0, 0], y)["accuracy"] == 0.25


def test_collect_is_the_metrics_json_of_the_design():
    (vy, vp, _), (ty, tp, _) = binary_rows(seed=1), binary_rows(seed=2)
    sets = {
        "valid": ScoredRows(vy, {"xgboost": vp, "forest": 1 - vp}),
        "test": ScoredRows(ty, {"xgboost": tp, "forest": 1 - tp}),
    }
    found = metrics.collect(
        BINARY, sets, rows={"train": 9, "valid": 500, "test": 500}, prior=[7, 3]
    )
    assert list(found) == ["task", "rows", "baseline", "models"]
    assert found["models"]["xgboost"]["test"]["threshold"] == metrics.find_best_threshold(vy, vp)
    assert found["baseline"]["test"]["roc_auc"] == 0.5
    assert metrics.choose_best_model(found) == "xgboost"
    json.dumps(found, allow_nan=False)


def test_the_best_model_is_chosen_on_valid_and_the_first_without_it():
    def models(valid):
        return {
            "task": "binary",
            "models": {
                "a": {"valid": valid[0], "test": {"roc_auc": 0.9}},
                "b": {"valid": valid[1], "test": {"roc_auc": 0.1}},
            },
        }

    assert metrics.choose_best_model(models([{"roc_auc": 0.6}, {"roc_auc": 0.7}])) == "b"
    one_class = [{"roc_auc": None, "log_loss": 0.3}, {"roc_auc": None, "log_loss": 0.2}]
    assert metrics.choose_best_model(models(one_class)) == "b"
    assert metrics.choose_best_model(models([{}, {}])) == "a"
    y, p, _ = binary_rows()
    alone = {"test": ScoredRows(y, {"m": p})}
    found = metrics.collect(BINARY, alone, rows={"train": 1, "valid": 0, "test": 500}, prior=[1, 1])
    assert found["models"]["m"]["test"]["threshold"] is None


def test_what_a_score_says():
    assert metrics.predict_labels("binary", np.array([0.2, 0.5])).tolist() == [0, 1]
    assert metrics.predict_labels("multiclass", np.array([[0.1, 0.9], [0.5, 0.5]])).tolist() == [
        1,
        0,
    ]
    assert metrics.predict_labels("regression", np.array([1.5])).tolist() == [1.5]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0, 0.25, 0.5, 0.75, 1])), max_size=12),
    st.integers(0, 3),
)
def test_whatever_the_rows_metrics_are_finite_or_null_and_weights_repeat_rows(rows, extra):
    y = np.array([r[0] for r in rows], dtype=float)
    p = np.array([r[1] for r in rows], dtype=float)
    times = np.array([(i * 7 + extra) % 3 for i in range(len(rows))], dtype=int)
    found = metrics.measure(BINARY, y, p, times, threshold=0.25)
    repeated = metrics.measure(BINARY, np.repeat(y, times), np.repeat(p, times), threshold=0.25)
    assert all(v is None or math.isfinite(v) for v in found.values())
    if times.any():
        assert found == pytest.approx(repeated)
