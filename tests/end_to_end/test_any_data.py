"""``run --data X --target T`` with nothing else, on tables that the pipeline has never seen."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from datasets import REAL, hgb_input

from pipeline import Config, run
from pipeline.__main__ import run_command_line

SEEDS = 5
SMALL = ("iris", "breast cancer", "mode choice", "fertility")
"""Those of the normal test: every task; spaces, odd names, constant and missing columns, text."""


def ran(name, folder, seed=0):
    """The outcome of the run of a data set: nothing is named but the data and the target."""
    folder.mkdir(parents=True)
    tree = {
        "name": "any",
        "data": {"path": str(REAL[name].write(folder)), "target": REAL[name].target},
        "cluster": {"dashboard": False},
    }
    return run(Config.parse(tree, [f"seed={seed}"]), out=folder / "run")


def losses(name, outcome):
    """(ours, HistGradientBoosting's) on the test rows; ours is of the model that valid chose."""
    regression = outcome.metrics["task"] == "regression"
    ours = outcome.metrics["models"][outcome.best]["test"]["rmse" if regression else "log_loss"]
    held_out = pd.read_parquet(outcome.folder / "evaluate" / "predictions.parquet")
    test = held_out.loc[held_out["set"] == "test", "row"].to_numpy()
    frame, label = labelled(name)
    known = np.flatnonzero(label.notna())
    train = np.setdiff1d(known, test)  # its early stopping takes its own valid rows from these
    assert len(train) == sum(outcome.metrics["rows"][s] for s in ("train", "valid"))
    return ours, hgb_loss(frame, label, train, test, regression)


def labelled(name):
    """The features and the target of a data set, by pandas alone."""
    frame, target = REAL[name].make(), REAL[name].target
    column, _, limit = target.replace("`", "").partition(" > ")
    label = frame[column]
    if limit:
        label = (label > float(limit)).where(label.notna())
    return frame.drop(columns=[column]).reset_index(drop=True), label.reset_index(drop=True)


def hgb_loss(frame, label, train, test, regression):
    """Log loss or RMSE of `HistGradientBoosting` behind an ordinal encoder."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    x, texts = hgb_input(frame)
    x = x.loc[:, x.iloc[train].notna().any()]  # it refuses a column of only missing values
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encoded = make_column_transformer(
        (encoder, [t for t in texts if t in x.columns]), remainder="passthrough"
    )
    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    model = make_pipeline(encoded, kind(random_state=0))
    if regression:
        y = label.astype("float64").to_numpy()
        error = model.fit(x.iloc[train], y[train]).predict(x.iloc[test]) - y[test]
        return float(np.sqrt(np.mean(error**2)))
    y = label.astype(str).to_numpy()
    shares = model.fit(x.iloc[train], y[train]).predict_proba(x.iloc[test])
    at = {c: i for i, c in enumerate(model.classes_)}
    happened = [row[at[c]] if c in at else 0.0 for row, c in zip(shares, y[test], strict=True)]
    return float(-np.log(np.clip(happened, np.finfo("float64").eps, 1)).mean())


@pytest.mark.parametrize("name", SMALL)
def test_a_table_is_run_with_nothing_but_its_target(name, tmp_path):
    outcome = ran(name, tmp_path / "a")
    assert outcome.metrics["task"] == REAL[name].expected
    ours, theirs = losses(name, outcome)
    assert ours <= 1.02 * theirs
    assert (outcome.folder / "report.html").is_file()


@pytest.mark.slow
def test_the_loss_is_at_most_that_of_hist_gradient_boosting(tmp_path, capsys):
    """The table of docs/quality.md; run it with -s."""
    warnings.filterwarnings("ignore", module="sklearn")  # classes with few rows
    ratios, lines = {}, []
    for name, data in REAL.items():
        found = []
        for seed in range(SEEDS):
            outcome = ran(name, tmp_path / name / str(seed), seed)
            found.append(losses(name, outcome))
        ours, theirs = np.mean(found, axis=0)
        ratios[name] = ours / theirs
        frame, task = data.make(), outcome.metrics["task"]
        lines.append(
            f"| {name} | {len(frame):,} | {frame.shape[1] - 1} | {task} | {data.format} "
            f"| {ours:.4g} | {theirs:.4g} | {ratios[name]:.3f} |"
        )
        with capsys.disabled():
            print(lines[-1], flush=True)
    good = [name for name, ratio in ratios.items() if ratio <= 1.02]
    assert len(good) >= 7 / 8 * len(ratios), ratios


# -- tables made to break something ----------------------------------------------------------------

QUICK = ("--set", "models.xgboost.rounds=20", "--set", "models.forest.trees=5")
N = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=N)
BASE = {"x": X, "g": RNG.choice(list("abc"), N), "y": (X + RNG.normal(size=N) > 0).astype(int)}
MANY = RNG.choice([f"v{i}" for i in range(30)], N)
TIMES = pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 10**7, N), unit="s")
WITH_INFINITE = np.r_[np.inf, -np.inf, X[2:]]

WORKS = {
    "one feature": {"x": X, "y": BASE["y"]},
    "30 rows": {name: values[:30] for name, values in BASE.items()},
    "duplicate rows": {name: np.tile(values[:5], 40) for name, values in BASE.items()},
    "all text": {"a": BASE["g"], "b": RNG.choice(["x y", "ü", "日本"], N), "y": RNG.choice(["yes", "no"], N)},
    "all dates": {"a": TIMES, "b": TIMES.floor("D"), "y": BASE["y"]},
    "a target of yes, no and nothing": {**BASE, "y": RNG.choice(["yes", "no", None], N)},
    "a bool target with missing values": {**BASE, "y": pd.array([True, None, False] * 40, dtype="boolean")},
    "0 and 1 as text": {**BASE, "y": pd.Series(BASE["y"]).astype(str)},
    "a class of one row, one of two": {**BASE, "y": ["a"] * 60 + ["b"] * 57 + ["c"] * 2 + ["d"]},
    "one positive row": {**BASE, "y": (np.arange(N) == 7).astype(int)},
    "classes of three rows each": {**BASE, "y": [f"c{i // 3}" for i in range(N)]},
    "constant and missing columns": {**BASE, "c": 1, "t": "same", "m": np.nan, "n": None},
    "names of ops": {**BASE, "drop": X, "categorify": BASE["g"], "target_encode": MANY},
    "names of selectors": {**BASE, "numeric": MANY, "text": TIMES, "re:x": X, "all": MANY, "datetime": "a"},
    "odd names": {
        **BASE, "a b": X, "a,b": X, 'a"b': MANY, "a[b]<c": X, "a`b": TIMES, "{x}": MANY, "a\nb": MANY, "größe 日本": X,
    },
    "names of our own files": {**BASE, "row": X, "set": MANY, "label": X, "prediction": X, "p_1": X, "g__days": X},
    "booleans and an id": {**BASE, "id": np.arange(N), "f": X > 1, "h": [True, None] * 60},
    "only an id": {"id": np.arange(N), "y": BASE["y"]},
    "integers beyond 2**53": {**BASE, "h": 2**53 + RNG.integers(0, 2**60, N)},
    "very long text": {**BASE, "t": ["lorem " * 5000 + str(i % 7) for i in range(N)]},
    "mixed dates": {**BASE, "t": ["2024-01-01", "01/02/2024", "March 3, 2024"] * 40},
    "infinities": {**BASE, "v": WITH_INFINITE, "w": X * 1e300},
    "nested values": {**BASE, "v": [[1, 2]] * N, "w": [{"a": 1}] * N, "b": [b"ab"] * N},
    "old dates": {**BASE, "t": np.array(["0001-01-01", "9999-12-31", "1500-03-01"] * 40, "datetime64[us]")},
    "more columns than rows": {**{f"c{i}": RNG.normal(size=60) for i in range(200)}, "y": BASE["y"][:60]},
}  # fmt: skip

REFUSED = {
    "three rows": ({"x": [1, 2, 3], "y": [0, 1, 0]}, "too few rows"),
    "nothing but the target": ({"y": BASE["y"]}, "anything to learn from"),
    "nothing that varies": ({"c": 1, "m": np.nan, "y": BASE["y"]}, "'c': every row has the same"),
    "a target of one value": ({**BASE, "y": 1}, "only one value"),
    "a target that is missing": ({**BASE, "y": np.nan}, "missing in every row"),
    "a target of dates": ({**BASE, "y": TIMES}, "is a datetime"),
    "an infinite target": ({**BASE, "y": WITH_INFINITE}, "infinite values"),
    "a target beyond float32": ({**BASE, "y": X * 1e300}, "beyond 1.0e\\+18"),
    "unsigned integers beyond int64": (
        {**BASE, "u": np.uint64(2**64 - 1) - np.arange(N, dtype="uint64")},
        "'u'.*not in range",
    ),
    "a name of ours": ({**BASE, "__label__": X}, "keeps for itself"),
}


def told(tmp_path, capsys, table, ending):
    """Exit status and standard error of the command, for a table in a file."""
    path, frame = tmp_path / f"d.{ending}", pd.DataFrame(table)
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path, index=False)
    arguments = ["run", "--data", str(path), "--target", "y", "--no-dashboard", *QUICK]
    status = run_command_line([*arguments, "--out", str(tmp_path / "run")])
    return status, capsys.readouterr().err


@pytest.mark.parametrize("case", WORKS)
def test_odd_tables_work(case, tmp_path, capsys):
    binary = {"nested values", "old dates", "a bool target with missing values", "all dates"}
    ending = "parquet" if case in binary else "csv"
    status, said = told(tmp_path, capsys, WORKS[case], ending)
    assert status == 0, said
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize("case", REFUSED)
def test_hopeless_tables_end_with_a_message(case, tmp_path, capsys):
    table, message = REFUSED[case]
    ending = "parquet" if "unsigned" in case else "csv"
    status, said = told(tmp_path, capsys, table, ending)
    assert status == 2
    assert re.search(message, said, re.S), said
    assert "Traceback" not in said
