"""Whole runs on small tables of our own: filters, quarantine, lag, weights, odd names, splits."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline import Config, Scorer, run
from pipeline.errors import InputError
from pipeline.predict.batch import predict_files

QUICK = {
    "models": {
        "xgboost": {"rounds": 10},
        "forest": {"trees": 3, "max_depth": 4, "min_samples_leaf": 2},
    },
    "refit": "never",
    "cluster": {"kind": "process", "dashboard": False},
}


def table(n=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return pd.DataFrame(
        {
            "x": x,
            "my group": rng.choice(["a", "b", "ü"], n),
            "t": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n), unit="h"),
            "y": (x + rng.normal(size=n) > 0).astype(int),
        }
    )


def ran(tmp_path, frame, name="d.csv", **changes):
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / name
    frame.to_csv(path, index=False) if name.endswith(".csv") else frame.to_parquet(path)
    tree = {"data": {"path": str(path), "target": "y"}, **QUICK, **changes}
    if "data" in changes:
        tree["data"] = {"path": str(path), "target": "y", **changes["data"]}
    return run(Config.parse(tree), out=tmp_path / "run")


OPS = [{"drop": ["t"]}, {"categorify": {"columns": ["my group"]}}]


def test_rows_that_a_filter_drops_get_null_predictions(tmp_path):
    outcome = ran(tmp_path, table(), features=[{"filter": "x > -1"}, *OPS])
    done = predict_files(outcome.folder, [str(tmp_path / "d.csv")], tmp_path / "o.csv", keep=["x"])
    made = pd.read_csv(tmp_path / "o.csv")
    assert len(made) == 400
    assert (made["prediction"].isna() == (made["x"] <= -1)).all()
    assert done.unscored == (made["x"] <= -1).sum() > 10
    notes = json.loads((outcome.folder / "ledger.jsonl").read_text().splitlines()[1])["notes"]
    assert notes == [f"{done.unscored} rows dropped: filters"]


def test_bad_rows_are_set_aside_and_counted_and_get_null_predictions(tmp_path):
    frame = table()
    frame["x"] = frame["x"].astype(object)
    frame.loc[[7, 399], "x"] = "oops", "ouch"  # a word that is repeated would mean missing
    with pytest.raises(InputError, match=r"(?s)d\.csv.*line 9.*'x'.*'oops'"):
        ran(tmp_path, frame, features=OPS, data={"types": {"x": "float"}})
    (tmp_path / "run").rename(tmp_path / "failed") if (tmp_path / "run").exists() else None
    data = {"types": {"x": "float"}, "on_bad_rows": "quarantine"}
    outcome = ran(tmp_path, frame, features=OPS, data=data)
    rejected = pd.read_parquet(outcome.folder / "ingest" / "rejected.parquet")
    assert rejected["row"].tolist() == [7, 399] and rejected["line"].tolist() == [9, 401]
    assert sum(outcome.metrics["rows"].values()) == 398
    assert any("2 bad rows" in w.message for w in outcome.warnings)
    predict_files(outcome.folder, [str(tmp_path / "d.csv")], tmp_path / "o.parquet")
    made = pd.read_parquet(tmp_path / "o.parquet")
    assert len(made) == 400
    assert np.flatnonzero(made["prediction"].isna()).tolist() == [7, 399]


@pytest.mark.parametrize("by", ["random", "group", "time", "column"])
def test_splits(tmp_path, by):
    frame = table()
    frame["which"] = np.random.default_rng(3).choice(["train", "valid", "test"], 400)
    column = {"group": "my group", "time": "t", "column": "which"}.get(by)
    split = {"by": by, **({"column": column} if column else {})}
    if by == "group":
        split |= {"valid": 0.0, "test": 0.4}
    features = OPS if by == "column" else [*OPS, {"drop": ["which"]}]
    outcome = ran(tmp_path, frame, split=split, features=features)
    made = pd.read_parquet(outcome.folder / "evaluate" / "predictions.parquet").set_index("row")
    assert sum(outcome.metrics["rows"].values()) == 400
    if by == "column":
        assert (made["set"] == frame["which"].loc[made.index]).all()
    if by == "time":
        assert made.index[made["set"] == "test"].tolist() == list(range(320, 400))
    if by == "group":
        groups = frame["my group"].loc[made.index]
        assert set(groups) & set(frame["my group"].drop(made.index)) == set()


def test_weights_multiply_and_are_no_feature(tmp_path):
    frame = table().assign(w=2.0)
    outcome = ran(tmp_path, frame, data={"weight": "w"}, features=OPS)
    plan = json.loads((outcome.folder / "features" / "plan.json").read_text())
    assert [f["name"] for f in plan["features"]] == ["x", "my group"]
    with pytest.raises(InputError, match=r"data\.weight.*'w'"):
        ran(tmp_path / "b", frame.assign(w=-1.0), data={"weight": "w"}, features=OPS)


def test_lag_continues_the_series_at_predict(tmp_path):
    n = 300
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"e": ["a", "b", "c"] * 100, "t": np.arange(n) // 3})
    frame["y"] = rng.normal(size=n)
    lag = {"by": ["e"], "order": "t", "columns": ["y"], "shift": [1], "gap": 1}
    features = [{"lag": lag}, {"drop": ["e", "t"]}]
    split = {"by": "time", "column": "t"}
    outcome = ran(tmp_path, frame, features=features, split=split)
    known = frame.set_index(["e", "t"])["y"]

    def fed(new):
        """What the model is given for new rows: their lagged target."""
        seen = []
        scorer = Scorer.load(outcome.folder, "xgboost")
        spying = replace(scorer.model, score=lambda x: seen.append(x) or scorer.model.score(x))
        replace(scorer, model=spying).predict(new)
        return seen[0][:, 0]

    # gap 1: of the rows at 99 and 98, the one at 98 is the feature of a row at 100
    new = pd.DataFrame({"e": ["b", "a", "new"], "t": [100, 100, 100]})
    np.testing.assert_allclose(fed(new), [known["b", 98], known["a", 98], np.nan], rtol=1e-6)
    new.to_csv(tmp_path / "new.csv", index=False)
    predict_files(outcome.folder, [str(tmp_path / "new.csv")], tmp_path / "o.csv", keep=["e"])
    assert pd.read_csv(tmp_path / "o.csv")["e"].tolist() == ["b", "a", "new"]


def test_refit_uses_all_rows_and_keeps_the_metrics(tmp_path):
    outcome = ran(tmp_path, table(), features=OPS, refit="always")
    manifest = json.loads((outcome.folder / "manifest.json").read_text())
    assert manifest["refit"] is True
    rows = [json.loads(x) for x in (outcome.folder / "ledger.jsonl").read_text().splitlines()]
    by_stage = {r["stage"]: r["rows"] for r in rows if "stage" in r}
    assert by_stage["refit xgboost"] == 400 > by_stage["train xgboost"]
    assert outcome.metrics["rows"]["train"] == by_stage["train xgboost"]


def test_slices_are_measured(tmp_path):
    outcome = ran(tmp_path, table(), features=OPS, evaluate={"slices": ["my group", "t"]})
    curves = (outcome.folder / "evaluate" / "curves.json").read_text()
    assert "my group" in curves and "ü" in curves


def test_a_scorer_refuses_an_altered_run(tmp_path):
    outcome = ran(tmp_path, table(), features=OPS)
    path = outcome.folder / "features" / "plan.json"
    path.write_text(path.read_text().replace('"x"', '"z"'))
    with pytest.raises(InputError, match=r"plan\.json was altered"):
        Scorer.load(outcome.folder)


def test_missing_and_retyped_columns_are_shown_as_a_diff(tmp_path):
    outcome = ran(tmp_path, table(), features=OPS)
    scorer = Scorer.load(outcome.folder)
    with pytest.raises(InputError, match="my group"):
        scorer.predict(pd.DataFrame({"x": [1.0]}))
    with pytest.raises(InputError, match="x"):
        scorer.predict(pd.DataFrame({"x": ["text"], "my group": ["a"]}))


def test_the_run_is_the_same_from_parquet_and_csv(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = ran(tmp_path / "a", table(), "d.csv", features=OPS)
    other = ran(tmp_path / "b", table(), "d.parquet", features=OPS)
    assert one.metrics == other.metrics


def test_regression_and_multiclass(tmp_path):
    for name, values in (
        ("r", np.random.default_rng(0).normal(size=400)),
        ("m", np.random.default_rng(0).choice(["red", "green", "blue"], 400)),
    ):
        (tmp_path / name).mkdir()
        outcome = ran(tmp_path / name, table().assign(y=values), features=OPS)
        assert outcome.metrics["task"] == {"r": "regression", "m": "multiclass"}[name]
        assert Scorer.load(outcome.folder).predict(table(5)).shape == (5, 1 if name == "r" else 4)


def test_what_is_chosen_is_written_down_with_reasons(tmp_path):
    frame = table().assign(id=[f"id{i}" for i in range(400)], constant=1).drop(columns="t")
    outcome = ran(tmp_path, frame)
    plan = json.loads((outcome.folder / "features" / "plan.json").read_text())
    reasons = {d["column"]: d["reason"] for d in plan["dropped"]}
    assert set(reasons) == {"id", "constant", "y"}
    assert reasons["y"] == "the target"
    assert "not used" not in reasons.values()
    assert [s["op"] for s in plan["steps"]][0].keys() == {"categorify"}
