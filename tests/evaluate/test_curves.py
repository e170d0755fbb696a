import json
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics as sk

from pipeline.evaluate import curves, metrics
from pipeline.evaluate.metrics import ScoredRows
from pipeline.evaluate.ranking import MAX_POINTS, rank, thin_curve
from pipeline.matrix import Target

BINARY = Target("binary", (False, True))


def rows(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.2).astype(float)
    return label, np.clip(0.2 * label + rng.random(n) * 0.8, 0, 1)


def test_points_lie_on_the_curves_of_scikit_learn_and_span_them():
    y, p = rows()
    found = thin_curve(rank(y, p))
    assert len(found["fpr"]) <= MAX_POINTS
    fpr, tpr, thresholds = sk.roc_curve(y, p, drop_intermediate=False)
    exact = dict(zip(thresholds, zip(fpr, tpr, strict=True), strict=True))
    for t, x, up, precision in zip(*(found[k][1:] for k in found), strict=True):
        assert exact[t] == pytest.approx((x, up))
        assert precision == pytest.approx(sk.precision_score(y, p >= t))
    assert (found["fpr"][0], found["tpr"][0]) == (0, 0)
    assert (found["fpr"][-1], found["tpr"][-1]) == (1, 1)
    thinned = np.trapezoid(found["tpr"], found["fpr"])
    assert thinned == pytest.approx(sk.roc_auc_score(y, p), abs=2e-3)  # 200 of 3000 points


def test_few_distinct_scores_give_few_points_and_one_class_none():
    found = thin_curve(rank(np.array([0.0, 1, 1]), np.array([0.2, 0.2, 0.9])))
    assert found["threshold"] == [None, 0.9, 0.2]
    assert found["tpr"] == [0, 0.5, 1]
    assert thin_curve(rank(np.zeros(3), np.arange(3.0))) is None


def test_confusion_is_that_of_scikit_learn():
    y, p = rows()
    found = curves.measure(BINARY, y, p, 0.3)["confusion"]
    assert [c["threshold"] for c in found] == [0.5, 0.3]
    for at in found:
        assert at["matrix"] == sk.confusion_matrix(y, p >= at["threshold"]).tolist()


def test_calibration_bins_hold_all_rows_in_about_equal_numbers():
    y, p = rows()
    found = curves.bin_by_score(p, y)
    assert len(found) == 10
    assert sum(b["rows"] for b in found) == len(y)
    assert max(b["rows"] for b in found) - min(b["rows"] for b in found) <= 2
    predicted = [b["predicted"] for b in found]
    assert predicted == sorted(predicted)
    assert np.average([b["actual"] for b in found], weights=[b["rows"] for b in found]) == (
        pytest.approx(y.mean())
    )


def test_equal_scores_share_a_bin():
    found = curves.bin_by_score(np.array([0.1] * 50 + [0.9] * 5), np.zeros(55))
    assert [b["rows"] for b in found] == [50, 5]
    assert len(curves.bin_by_score(np.full(9, 0.5), np.zeros(9))) == 1


def test_the_histogram_of_residuals_counts_every_row():
    error = np.append(np.random.default_rng(0).normal(size=2000), [1e6, -1e6])
    found = curves.bin_residuals(error)
    assert sum(found["counts"]) + found["below"] + found["above"] == len(error)
    assert len(found["edges"]) == len(found["counts"]) + 1
    assert found["edges"][-1] < 10
    for constant in (np.zeros(400), np.append(np.zeros(400), 0.25)):
        found = curves.bin_residuals(constant)
        assert sum(found["counts"]) + found["below"] + found["above"] == len(constant)


def test_multiclass_beyond_twenty_classes_pools_the_rarest():
    k, n = 25, 2000
    rng = np.random.default_rng(1)
    y = np.minimum(rng.integers(0, k, n), rng.integers(0, k, n))  # low classes are frequent
    score = rng.dirichlet(np.ones(k), n)
    target = Target("multiclass", tuple(range(k)))
    found = curves.measure(target, y.astype(float), score)
    matrix = found["confusion"][0]
    assert len(matrix["classes"]) == 20
    assert matrix["rest"] == 5
    assert np.shape(matrix["matrix"]) == (21, 21)
    assert np.sum(matrix["matrix"]) == n
    assert np.trace(np.array(matrix["matrix"])[:20, :20]) == sum(
        ((y == int(c)) & (score.argmax(1) == int(c))).sum() for c in matrix["classes"]
    )
    assert len(found["points"]) == 5
    one = found["classes"][0]
    assert one["recall"] == pytest.approx(sk.recall_score(y == 0, score.argmax(1) == 0))
    json.dumps(found, allow_nan=False)


def test_an_absent_class_has_null_figures():
    target = Target("multiclass", ("a", "b", "c"))
    found = curves.measure(target, np.zeros(4), np.tile([0.6, 0.4, 0.0], (4, 1)))
    assert found["classes"][2]["recall"] is None
    assert found["points"]["c"] is None
    json.dumps(found, allow_nan=False)


def test_importances_are_sorted():
    plain = [{"feature": "b", "value": 2.0}, {"feature": "a", "value": 1.0}]
    assert curves.rank_importances({"a": 1, "b": 2}) == plain
    assert curves.rank_importances({}) == []


def test_collect_joins_sets_slices_and_models():
    y, p = rows(400)
    where = np.where(np.arange(400) % 4 == 0, "EWR", "JFK").astype(object)
    empty = ScoredRows(np.zeros(0), {"m": np.zeros(0)})
    sets = {"valid": empty, "test": ScoredRows(y, {"m": p}, slices={"origin": where})}
    fitted = SimpleNamespace(importances={"x": 1.0}, history={})
    measured = metrics.collect(BINARY, sets, rows={"test": 400}, prior=[8, 2])
    found = curves.collect(BINARY, sets, {"m": fitted}, measured)
    model = found["models"]["m"]
    assert "valid" not in model
    assert [s["value"] for s in model["test"]["slices"]["origin"]] == ["JFK", "EWR"]
    assert model["importances"] == [{"feature": "x", "value": 1.0}]
    assert model["history"] == {}
    json.dumps(found, allow_nan=False)


def test_a_diverged_model_has_no_curves():
    assert curves.measure(Target("regression"), np.zeros(2), np.array([np.nan, 1.0])) == {}
