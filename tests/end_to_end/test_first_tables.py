"""Tables as people bring them: missing words, blank cells and a class called NA, from file to score."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline import Config, run
from pipeline.ingest.contract import Contract
from pipeline.predict.batch import predict_files

QUICK = {
    # all columns for each tree: 20 draws of one column may leave out the best one most of the time
    "models": {"xgboost": {"rounds": 20, "max_depth": 3, "colsample_bytree": 1.0}},
    "refit": "never",
    "golden": 0,
    "cluster": {"kind": "process", "dashboard": False},
}


def people(n):
    """A small table with a learnable yes/no target."""
    r = np.random.default_rng(0)
    d = pd.DataFrame({"age": r.integers(18, 90, n), "income": r.normal(3000, 900, n).round(2),
                      "city": r.choice(["Oslo", "Lima", "Bern"], n)})  # fmt: skip
    z = (d.age - 50) / 15 + (d.income - 3000) / 450 + np.where(d.city == "Lima", 1.0, -0.3)
    d["y"] = (z + r.normal(0, 0.7, n) > 0).astype(int)
    return d


def ran(folder, table, target="y", **csv):
    folder.mkdir()
    table.to_csv(folder / "d.csv", index=False)
    data = {"path": str(folder / "d.csv"), "target": target, "csv": csv}
    return run(Config.parse({"data": data, **QUICK}), out=folder / "run")


@pytest.mark.parametrize("word", ["?", r"\N", " "])
def test_words_and_blanks_score_like_empty_cells(tmp_path, word):
    table = people(600)
    cells = table["income"].astype(str)
    gone = table.index % 40 == 7
    marked = ran(tmp_path / "marked", table.assign(income=cells.mask(gone, word)))
    empty = ran(tmp_path / "empty", table.assign(income=cells.mask(gone, "")))
    assert marked.metrics == empty.metrics
    assert marked.metrics["models"]["xgboost"]["test"]["roc_auc"] > 0.9  # 0.84 without income
    contract = Contract.read(marked.folder / "ingest" / "schema.json")
    assert contract.schema["income"].dtype == "float64"
    assert [note.column for note in contract.notes] == ["income"]
    # the same cells in new data, and a word that the run has not seen
    scores = []
    for cell in (word, "", "--"):
        table.assign(income=cells.mask(gone, cell)).to_csv(tmp_path / "new.csv", index=False)
        predict_files(marked.folder, [str(tmp_path / "new.csv")], tmp_path / "scores.csv")
        scores.append((tmp_path / "scores.csv").read_text())
    assert scores[0] == scores[1] == scores[2]


def test_a_class_may_be_called_na(tmp_path):
    table = people(600)
    regions = np.select([table.age < 40, table.age < 60], ["NA", "EMEA"], "APAC")
    outcome = ran(tmp_path / "run", table.assign(region=regions).drop(columns="y"), "region")
    assert sum(outcome.metrics["rows"].values()) == 600
    assert outcome.metrics["models"]["xgboost"]["test"]["accuracy"] > 0.95
    predictions = pd.read_parquet(outcome.folder / "evaluate" / "predictions.parquet")
    assert set(predictions["label"]) == set(predictions["xgboost__prediction"]) == {*regions}
