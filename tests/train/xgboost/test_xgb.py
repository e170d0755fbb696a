import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from list_feed import FEATURES, TARGETS, ListFeed, feed_of, rows_of

from pipeline.errors import ConfigError, DataError, DeviceError
from pipeline.matrix import Feature
from pipeline.train import model
from pipeline.train.fitted_model import TrainingOptions
from pipeline.train.model import parse_models
from pipeline.train.params import XGBoostParams
from pipeline.train.xgboost import checkpointing, local, quantile_matrix

TASKS = list(TARGETS)
SMALL = {"rounds": 40, "max_depth": 3, "learning_rate": 0.3}


def fit(feed, refit=None, checkpoint=None, progress=lambda *_: None, **params):
    parsed = parse_models({"xgboost": {**SMALL, **params}})["xgboost"]
    options = TrainingOptions(0, 1, rounds=refit, checkpoint=checkpoint, progress=progress)
    return model.train("xgboost", parsed, feed, options)


def raw(fitted):
    return bytes(fitted.content.save_raw("ubj"))


@pytest.mark.parametrize("task", TASKS)
def test_one_block_is_seventeen(task):
    feed = feed_of(task)
    assert raw(fit(feed)) == raw(fit(feed.split(17)))


@pytest.mark.parametrize("task", TASKS)
def test_scores_have_the_shape_of_the_task(task):
    feed = feed_of(task)
    fitted = fit(feed)
    x, y, _ = feed.sets["valid"]
    scores = fitted.predict(x)
    assert scores.shape == ((len(x), 3) if task == "multiclass" else (len(x),))
    assert fitted.predict(x[:0]).shape == ((0, 3) if task == "multiclass" else (0,))
    assert fitted.predict(x[:1]).shape == ((1, 3) if task == "multiclass" else (1,))
    if task == "multiclass":
        assert np.allclose(scores.sum(axis=1), 1, atol=1e-6)
        assert (scores.argmax(axis=1) == y).mean() > 0.6
    elif task == "binary":
        assert ((scores > 0.5) == y).mean() > 0.75
    else:
        assert np.corrcoef(scores, y)[0, 1] > 0.7
    assert sum(fitted.importances.values()) == pytest.approx(1)
    assert list(fitted.importances) == [f.name for f in FEATURES]
    assert max(fitted.importances, key=fitted.importances.get) == "größe"


def test_early_stopping_counts_across_segments():
    seen = []
    fitted = fit(
        feed_of("binary"), early_stopping=12, learning_rate=0.5, max_depth=6,
        min_child_weight=1, progress=lambda text, *counts: seen.append(counts),
    )  # fmt: skip
    (losses,) = fitted.history["valid"].values()
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 12
    assert fitted.rounds == best + 1 == fitted.content.num_boosted_rounds()
    assert len(seen) == len(losses)
    assert seen == [(i + 1, seen[0][1]) for i in range(len(losses))]


def test_stopping_in_a_later_segment():
    feed = feed_of("regression")
    fitted = fit(feed, rounds=300, early_stopping=10, learning_rate=0.12)
    (losses,) = fitted.history["valid"].values()
    best = losses.index(min(losses)) + 1
    assert best > checkpointing.FIRST_SEGMENT
    assert len(losses) == best + 10 < 300
    assert fitted.rounds == best


def test_a_metric_that_rises_stops_at_its_highest():
    fitted = fit(feed_of("binary"), eval_metric=["logloss", "auc"], early_stopping=5)
    scores = fitted.history["valid"]["auc"]
    assert fitted.rounds == scores.index(max(scores)) + 1


def test_a_refit_boosts_exactly_its_rounds():
    feed = feed_of("binary")
    fitted = fit(feed, refit=33)
    assert fitted.rounds == 33 == fitted.content.num_boosted_rounds()
    both = {"train": feed.sets["train"]}
    assert fit(replace(feed, sets=both), refit=33).rounds == 33


def test_no_valid_rows_no_early_stopping():
    feed = feed_of("binary")
    fitted = fit(replace(feed, sets={"train": feed.sets["train"]}))
    assert fitted.rounds == 40
    assert set(fitted.history) == {"train"}


def test_segment_ends():
    assert list(checkpointing.segment_ends(10)) == [10]
    assert list(checkpointing.segment_ends(25)) == [25]
    assert list(checkpointing.segment_ends(500)) == [25, 50, 100, 200, 400, 500]


class Killed(Exception):
    pass


def test_a_killed_run_resumes_to_the_same_bytes(tmp_path):
    feed = feed_of("binary")
    params = {
        "rounds": 110, "subsample": 0.5, "colsample_bytree": 0.5, "early_stopping": 60,
        "learning_rate": 0.05,
    }  # fmt: skip
    whole = fit(feed, **params)

    def die(text, done, planned):
        if text.startswith("round 63"):
            raise Killed

    with pytest.raises(Killed):
        fit(feed, checkpoint=tmp_path, progress=die, **params)
    state = json.loads((tmp_path / checkpointing.STATE).read_text())
    assert state["segments"] == 2
    told = []
    resumed = fit(feed, checkpoint=tmp_path, progress=lambda *a: told.append(a[0]), **params)
    assert told[0].startswith("round 51")
    assert raw(resumed) == raw(whole)
    assert resumed.history == whole.history
    assert len(list(tmp_path.glob("*.ubj"))) == 1
    again = fit(feed, checkpoint=tmp_path, progress=lambda *a: pytest.fail("trained"), **params)
    assert raw(again) == raw(whole)
    assert (resumed.notes, again.notes) == (whole.notes, whole.notes)
    assert resumed.process_notes == ("resumed from round 50 of 110",) and whole.process_notes == ()


def test_a_checkpoint_whose_trees_are_not_its_own_is_not_gone_on_from(tmp_path):
    feed, params = feed_of("binary"), {"rounds": 60, "early_stopping": 0}
    whole = fit(feed, checkpoint=tmp_path, **params)
    (trees,) = tmp_path.glob("*.ubj")
    trees.write_bytes(trees.read_bytes()[:-7])
    again = fit(feed, checkpoint=tmp_path, **params)
    assert again.process_notes == () and raw(again) == raw(whole)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("parts", [1, 17])
def test_a_loaded_segment_goes_on_as_the_one_in_memory(task, parts, tmp_path):
    feed = feed_of(task, 900, 300).split(parts)
    params = {
        "rounds": 60, "subsample": 0.6, "colsample_bytree": 0.5, "colsample_bynode": 0.7,
        "early_stopping": 0,
    }  # fmt: skip
    whole = fit(feed, **params)
    for killed_in in (26, 51):

        def die(text, done, planned, last=killed_in):
            if done == last:
                raise Killed

        with pytest.raises(Killed):
            fit(feed, checkpoint=tmp_path, progress=die, **params)
    resumed = fit(feed, checkpoint=tmp_path, **params)
    assert resumed.process_notes == ("resumed from round 50 of 60",)
    assert raw(resumed) == raw(whole)
    assert resumed.history == whole.history


def test_the_training_rows_metric_is_told_up_to_a_size(monkeypatch):
    monkeypatch.setattr(local, "WATCHED_ROWS", 1000)
    few, many = feed_of("binary", 1000, 300), feed_of("binary", 1001, 300)
    assert set(fit(few).history) == {"train", "valid"}
    assert set(fit(many).history) == {"valid"}
    told = []
    fitted = fit(
        replace(many, sets={"train": many.sets["train"]}), rounds=3,
        progress=lambda *a: told.append(a),
    )  # fmt: skip
    assert fitted.history == {} and fitted.rounds == 3
    assert told == [("round 1", 1, 3), ("round 2", 2, 3), ("round 3", 3, 3)]


def test_a_checkpoint_of_other_parameters_is_not_used(tmp_path):
    feed = feed_of("binary")
    fit(feed, checkpoint=tmp_path)
    other = fit(feed, checkpoint=tmp_path, max_depth=2)
    assert raw(other) == raw(fit(feed, max_depth=2))
    shutil.rmtree(tmp_path)


def test_monotone_holds():
    fitted = fit(feed_of("regression"), monotone={"größe": 1, "n": -1})
    x = np.repeat(rows_of("regression", 20)[0], 50, axis=0).reshape(20, 50, 4)
    rising = x.copy()
    rising[:, :, 1] = np.linspace(-3, 3, 50)
    scores = fitted.predict(rising.reshape(-1, 4)).reshape(20, 50)
    assert (np.diff(scores, axis=1) >= 0).all()
    falling = x.copy()
    falling[:, :, 2] = np.linspace(-9, 9, 50)
    scores = fitted.predict(falling.reshape(-1, 4)).reshape(20, 50)
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("task", TASKS)
def test_weight_two_is_the_row_twice(task):
    x, y = rows_of(task, 600)
    twice = np.arange(600) % 3 == 0
    options = {"subsample": 1, "colsample_bytree": 1, "min_child_weight": 0.5, "rounds": 15}
    weighed = ListFeed(FEATURES, TARGETS[task], {"train": (x, y, np.where(twice, 2.0, 1.0))})
    rows = np.concatenate([np.arange(600), np.flatnonzero(twice)])
    doubled = ListFeed(FEATURES, TARGETS[task], {"train": (x[rows], y[rows], None)})
    difference = fit(weighed, **options).predict(x) - fit(doubled, **options).predict(x)
    # The bins are weighted quantiles of sketches that differ in size, so a few splits move a bin.
    assert np.abs(difference).mean() < 0.02


def test_class_weight_balanced_lifts_the_rare_class():
    x, y = rows_of("binary", 2000)
    rare = np.flatnonzero(y == 1)[60:]
    keep = np.setdiff1d(np.arange(2000), rare)
    feed = ListFeed(FEATURES, TARGETS["binary"], {"train": (x[keep], y[keep], None)})
    plain, balanced = fit(feed), fit(feed, class_weight="balanced")
    named = fit(feed, class_weight={"yes": 5})
    assert plain.predict(x).mean() < named.predict(x).mean() < balanced.predict(x).mean()


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_rare_and_absent_classes(task):
    x, y = rows_of(task, 300)
    for labels in (np.zeros(300), np.where(np.arange(300) == 5, y.max(), 0.0)):
        sets = {"train": (x, labels, None), "valid": (x[:20], y[:20] * 0, None)}
        feed = ListFeed(FEATURES, TARGETS[task], sets)
        for params in ({}, {"class_weight": "balanced"}):
            assert np.isfinite(fit(feed, **params).predict(x)).all()


def test_odd_columns():
    x, y = rows_of("binary", 200)
    for made in (x[:, :1] * np.nan, x[:, :1] * 0 + 7, x[:, 1:2]):
        feed = ListFeed((Feature("only", "q"),), TARGETS["binary"], {"train": (made, y, None)})
        assert np.isfinite(fit(feed).predict(made)).all()
    clash = (Feature("a[", "q"), Feature("a]", "q"), Feature("a_", "q"), Feature("c", "c"))
    feed = ListFeed(clash, TARGETS["binary"], {"train": (x, y, None)})
    assert list(fit(feed).importances) == ["a[", "a]", "a_", "c"]
    unseen = x.copy()
    unseen[:, 3] = 99
    assert np.isfinite(fit(feed).predict(unseen)).all()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"monotone": {"grösse": 1}}, "did you mean 'größe'"),
        ({"monotone": {"code": 1}}, "category codes"),
        ({"interaction_constraints": [["n", "x"]]}, "no feature is called 'x'"),
        ({"tree_method": "fast"}, "Invalid Input"),
        ({"tree_method": "exact"}, "XGBoost rejects"),
        ({"eval_metric": "aux"}, "Unknown metric"),
        ({"max_delta_step": -1}, "max_delta_step"),
        ({"objective": "reg:squarederror"}, "binary:logistic"),
        ({"quantile_alpha": 0.5}, "no use with objective"),
        ({"class_weight": {"maybe": 2}}, "no class 'maybe'"),
    ],
)
def test_parameters_that_do_not_fit(params, said):
    with pytest.raises(ConfigError) as caught:
        fit(feed_of("binary", 100, 50), **params)
    assert said in str(caught.value)
    assert "Stack trace" not in str(caught.value)


def test_native_parameters_reach_the_booster():
    fitted = fit(feed_of("binary"), gamma=3.0, interaction_constraints=[["größe", "n"]])
    tree = json.loads(fitted.content.save_config())["learner"]["gradient_booster"]
    assert float(tree["tree_train_param"]["gamma"]) == 3
    pairs = [set(t["Feature"]) for _, t in fitted.content.trees_to_dataframe().groupby("Tree")]
    assert all(not {"größe", "code"} <= pair for pair in pairs)


def test_class_weight_of_a_regression():
    with pytest.raises(ConfigError, match="has no classes"):
        fit(feed_of("regression", 100, 0), class_weight="balanced")


def test_nothing_to_train_on():
    feed = feed_of("binary", 100, 50)
    with pytest.raises(DataError, match="training set has no rows"):
        fit(replace(feed, sets={"valid": feed.sets["valid"]}))
    with pytest.raises(DataError, match="no feature"):
        fit(replace(feed, features=()))


def test_a_model_that_tells_nothing_says_so():
    x, y = rows_of("regression", 100)
    for scale, said in ((1, False), (1e-9, True)):
        feed = ListFeed(FEATURES, TARGETS["regression"], {"train": (x, y * scale, None)})
        assert any("multiply" in note for note in fit(feed, rounds=3).notes) is said


def test_labels_and_values_must_be_finite():
    x, y = rows_of("regression", 100)
    for large in (np.inf, np.nan, 1e300, -1e19):
        bad = y.copy()
        bad[3] = large
        with pytest.raises(DataError, match="1 labels of the train set"):
            fit(ListFeed(FEATURES, TARGETS["regression"], {"train": (x, bad, None)}))
    x[5, 1] = -np.inf
    with pytest.raises(DataError, match="'größe' has infinite values"):
        fit(ListFeed(FEATURES, TARGETS["regression"], {"train": (x, y, None)}))


def test_a_silent_change_of_device_is_an_error(monkeypatch):
    monkeypatch.setattr(local, "find_device", lambda booster: "gpu")
    with pytest.raises(DeviceError, match="asked to train on the cpu"):
        fit(feed_of("binary", 100, 0))


def test_bins_of_a_sample_above_the_limit(monkeypatch):
    monkeypatch.setattr(quantile_matrix, "EXACT_BELOW", 1000)
    monkeypatch.setattr(quantile_matrix, "BIN_ROWS", 500)
    feed = feed_of("binary", 4000, 300)
    auto, split = fit(feed), fit(feed.split(13))
    exact = fit(feed, bins="exact")
    assert raw(auto) == raw(split) != raw(exact)
    assert "500 of 4,000" in auto.notes[0]
    assert not any("bins" in note for note in exact.notes)


def test_defaults_are_checked_against_xgboost():
    names = set(XGBoostParams().native)
    assert names == {
        "max_depth", "learning_rate", "min_child_weight", "subsample", "colsample_bytree",
        "max_bin",
    }  # fmt: skip
