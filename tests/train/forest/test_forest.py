import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from list_feed import FEATURES, TARGETS, ListFeed, feed_of, rows_of

from pipeline.errors import ConfigError, DataError
from pipeline.matrix import Feature
from pipeline.train import model, model_io
from pipeline.train.fitted_model import TrainingOptions
from pipeline.train.forest import train
from pipeline.train.model import parse_models
from pipeline.train.weights import compute_class_weights, count_classes

TASKS = list(TARGETS)


def fit(feed, **params):
    parsed = parse_models({"forest": {"trees": 10, "max_depth": 8, **params}})["forest"]
    return model.train("forest", parsed, feed, TrainingOptions(seed=0, threads=1))


@pytest.mark.parametrize("task", TASKS)
def test_one_block_is_seventeen(task):
    feed = feed_of(task)
    assert fit(feed).content == fit(feed.split(17)).content


@pytest.mark.parametrize("task", TASKS)
def test_scores_have_the_shape_of_the_task(task):
    feed = feed_of(task)
    fitted = fit(feed)
    x, y, _ = feed.sets["valid"]
    before = x.copy()
    scores = fitted.predict(x)
    assert np.array_equal(before, x, equal_nan=True)
    assert scores.shape == ((len(x), 3) if task == "multiclass" else (len(x),))
    assert fitted.predict(x[:0]).shape == ((0, 3) if task == "multiclass" else (0,))
    if task == "binary":
        assert ((scores > 0.5) == y).mean() > 0.75
    if task == "regression":
        assert np.corrcoef(scores, y)[0, 1] > 0.7
    assert sum(fitted.importances.values()) == pytest.approx(1)
    assert fitted.rounds == 10


def test_missing_numbers_get_the_median():
    feed = feed_of("binary")
    x = feed.sets["train"][0]
    fill = fit(feed).details["fill"]
    assert fill == [*np.nanmedian(x[:, :3], axis=0).tolist(), 0.0]


def test_a_column_of_only_missing_values_and_infinite_new_values():
    x, y = rows_of("binary", 200)
    x[:, 0] = np.nan
    fitted = fit(ListFeed(FEATURES, TARGETS["binary"], {"train": (x, y, None)}))
    assert fitted.details["fill"][0] == 0
    x[:, 1] = np.inf
    assert np.isfinite(fitted.predict(x)).all()


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_without_training_rows(task):
    x, y = rows_of(task, 400)
    top = len(TARGETS[task].classes) - 1
    feed = ListFeed(FEATURES, TARGETS[task], {"train": (x, np.where(y == top, top, 0.0), None)})
    scores = fit(feed).predict(x)
    if task == "multiclass":
        assert (scores[:, 1] == 0).all()
        assert np.allclose(scores.sum(axis=1), 1)
        assert ((scores[:, 2] > 0.5) == (y == 2)).mean() > 0.8
    only = ListFeed(FEATURES, TARGETS[task], {"train": (x, y * 0 + top, None)})
    fitted = fit(only)
    assert (fitted.predict(x).reshape(len(x), -1)[:, -1] == 1).all()
    assert "always predicted" in fitted.notes[0]
    one = ListFeed(FEATURES, TARGETS[task], {"train": (x, (np.arange(400) == 3) * 1.0, None)})
    assert np.isfinite(fit(one).predict(x)).all()


def test_row_and_class_weights():
    x, y = rows_of("binary", 1000)
    x = np.nan_to_num(x)  # the weights of classes do not affect what stands for missing values
    target = TARGETS["binary"]
    plain = ListFeed(FEATURES, target, {"train": (x, y, None)})
    heavy = ListFeed(FEATURES, target, {"train": (x, y, np.where(y == 1, 10.0, 1.0))})
    assert fit(heavy).content == fit(plain, class_weight={"yes": 10}).content
    assert fit(heavy).predict(x).mean() > fit(plain).predict(x).mean()


def test_missing_values_become_the_weighted_median():
    x, y = rows_of("binary", 1000)
    weight = np.where(x[:, 0] > 1, 50.0, 1.0)
    train_set = (x, y, weight)
    feed = ListFeed(FEATURES, TARGETS["binary"], {"train": train_set})
    fill = fit(feed).details["fill"]
    repeated = np.repeat(x[:, 0], weight.astype("int64"))
    assert fill[0] == pytest.approx(np.nanmedian(repeated), rel=1e-6)
    assert fill[0] > 1
    assert fill == fit(feed.split(9)).details["fill"]
    balanced = fit(feed, class_weight={"yes": 30}).details["fill"]
    assert fill == balanced


def test_balanced_classes_have_equal_weights_not_equal_rows():
    x, y = rows_of("binary", 1000)
    weight = np.where(y == 1, 10.0, 1.0)
    feed = ListFeed(FEATURES, TARGETS["binary"], {"train": (x, y, weight)})
    no, yes = compute_class_weights("balanced", feed)
    assert no * weight[y == 0].sum() == pytest.approx(yes * weight[y == 1].sum())
    assert no * weight[y == 0].sum() == pytest.approx(weight.sum() / 2)
    assert count_classes(feed).tolist() == [weight[y == 0].sum(), weight[y == 1].sum()]


def test_samples_are_bounded_and_said(monkeypatch):
    monkeypatch.setattr(train, "MATRIX_ROWS", 600)
    monkeypatch.setattr(train, "TREE_ROWS", 200)
    feed = feed_of("binary", 3000, 0)
    fitted = fit(feed)
    assert "sample of about 600 of 3,000" in fitted.notes[0]
    assert fitted.notes[1].startswith("each tree draws 200 of ")
    assert fitted.content == fit(feed.split(9)).content
    assert not fit(feed, max_samples=1.0).notes[:-1]


@pytest.mark.parametrize(
    "options", [{"max_features": "sqrt"}, {"max_features": 0.5, "max_samples": 0.3}]
)
def test_options_reach_scikit_learn(options):
    fitted = fit(feed_of("binary", 300, 0), min_samples_leaf=7, **options)
    found = fitted.score.estimator.get_params()
    assert (found["n_estimators"], found["max_depth"], found["min_samples_leaf"]) == (10, 8, 7)
    assert found["max_features"] == options["max_features"]
    assert found["max_samples"] == options.get("max_samples")


def test_bad_data():
    x, y = rows_of("regression", 100)
    feed = ListFeed(FEATURES, TARGETS["regression"], {"train": (x, y, None)})
    with pytest.raises(DataError, match="labels of the train set"):
        fit(replace(feed, sets={"train": (x, y * np.nan, None)}))
    with pytest.raises(ConfigError, match="has no classes"):
        fit(feed, class_weight="balanced")
    x[0, 2] = np.inf
    with pytest.raises(DataError, match="'n' has infinite values"):
        fit(feed)


def test_a_single_feature():
    x, y = rows_of("regression", 100)
    feed = ListFeed((Feature("x", "q"),), TARGETS["regression"], {"train": (x[:, 1:2], y, None)})
    assert fit(feed).importances == {"x": 1.0}


def test_the_gpu_module_gets_cumls_names(monkeypatch):
    import treelite
    from sklearn.ensemble import RandomForestClassifier

    from pipeline.device import cpu, gpu

    asked = {}

    class CumlLike(RandomForestClassifier):
        def as_treelite(self):
            return treelite.sklearn.import_model(self)

    def make(task, n_bins, **options):
        asked.update(options, task=task, n_bins=n_bins)
        return CumlLike(**options)

    models = ModuleType("pipeline.device.gpu.models")
    models.make_forest = make
    monkeypatch.setitem(sys.modules, "pipeline.device.gpu.models", models)
    monkeypatch.setattr(gpu, "models", models, raising=False)
    monkeypatch.setattr(train, "frames_of", lambda name: cpu)
    feed = feed_of("binary", 300, 0)
    fitted = fit(replace(feed, device="gpu"))
    assert fitted.device == "gpu"
    assert asked == {
        "task": "binary", "n_bins": 128, "n_estimators": 10, "max_depth": 8, "random_state": 0,
        "min_samples_leaf": 5, "max_features": "sqrt", "max_samples": 1.0,
    }  # fmt: skip
    x = feed.sets["train"][0]
    on_the_cpu = model_io.to_device(fitted, "cpu")
    assert np.allclose(fitted.predict(x), on_the_cpu.predict(x), atol=1e-6)
