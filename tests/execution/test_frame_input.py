"""Runs of frames: the same as those of their files, resumed by content, audited and scored."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from pipeline import Scorer, run
from pipeline.errors import ConfigError, InputError
from pipeline.execution.context import Listener

KEYS = {
    "target": "y", "models": {"xgboost": {"rounds": 5}}, "device": "cpu",
    "split": {"by": "time", "column": "day"}, "cluster": {"dashboard": False}, "refit": "never", "golden": 5,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def no_reports():
    """Leave out the reports, which take longer than the rest of such small runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.report.page.write_report", lambda folder: None)
        yield


def table(rows=300):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({
        "x": rng.normal(size=rows), "n": pd.array(rng.integers(0, 9, rows), dtype="Int64"),
        "c": pd.Categorical(rng.choice(["a", "b", "ü"], rows)),
        "day": pd.date_range("2020", periods=rows), "flag": pd.array(rng.random(rows) < 0.5),
    })  # fmt: skip
    frame.loc[::7, ["n", "flag"]] = pd.NA
    frame["y"] = np.where(frame["x"] + frame["c"].cat.codes > 1, "yes", "no")
    return frame


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with runs of one table: as CSV, Parquet, pandas, Polars, and with a named index."""
    folder = tmp_path_factory.mktemp("frames")
    frame = table()
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet")
    sources = {
        "csv": {"data": folder / "t.csv"}, "parquet": {"data": str(folder / "t.parquet")},
        "pandas": {"config": frame}, "polars": {"config": pl.from_pandas(frame)},
        "index": {"config": frame.set_index("day")},
    }  # fmt: skip
    return folder, {k: run(**v, out=folder / k, **KEYS) for k, v in sources.items()}


def test_a_frame_gives_the_metrics_of_its_files(made):
    _, results = made
    metrics = [r.metrics for r in results.values()]
    assert metrics[0]["models"]["xgboost"]["test"] and all(m == metrics[0] for m in metrics)


def test_every_kind_of_frame_gets_the_scores_of_the_file(made, monkeypatch):
    folder, results = made
    scorer, frame = Scorer.load(results["pandas"].folder), table().drop(columns="y")
    expected = scorer.predict(pd.read_parquet(folder / "t.parquet"))
    assert len(expected) == 300 and expected["p_yes"].nunique() > 5
    for rows in (1 << 18, 100):
        monkeypatch.setattr("pipeline.predict.scorer.BLOCK_ROWS", rows)
        for new in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame)):
            assert scorer.predict(new).equals(expected)
    like_cudf = SimpleNamespace(iloc=frame.iloc, to_pandas=lambda: frame)
    assert scorer.predict(like_cudf).equals(expected)
    assert scorer.predict(frame.set_index("day")).reset_index(drop=True).equals(expected)


def test_the_same_content_is_reused_and_another_is_not(made, tmp_path):
    frame = table()
    heard = []
    first = run(frame, out=tmp_path / "run", listener=Listener(say=heard.append), **KEYS)
    (stored,) = (first.folder / "frame").iterdir()
    assert f"frame of 300 rows stored in {stored}" in heard
    frame_of_the_same = pa.Table.from_pandas(frame, preserve_index=False)
    frame["x"] += 1  # later changes of the frame do not reach the run
    again = run(frame_of_the_same, resume=first.folder, **KEYS)
    assert {r.split(":")[0] for r in again.resumed.values()} == {"reused"}
    assert again.metrics == first.metrics
    # the folder's own config names the file, so that --resume needs no frame
    assert {r.split(":")[0] for r in run(resume=first.folder).resumed.values()} == {"reused"}
    other = run(frame, resume=first.folder, **KEYS)
    assert other.resumed["read"].startswith("recomputed")
    (left,) = (first.folder / "frame").iterdir()
    assert left != stored
    manifest = json.loads((first.folder / "manifest.json").read_text())
    assert [i["path"] for i in manifest["inputs"]] == [str(left)]
    assert not [name for name in manifest["files"] if name.startswith("frame/")]


def test_a_finished_run_is_audited_and_scores_without_its_frame(made):
    from pipeline.audit.finished_run import open_finished_run

    folder = made[1]["polars"].folder
    assert not open_finished_run(folder).changes
    (stored,) = (folder / "frame").iterdir()
    hidden = stored.rename(folder.parent / "hidden")
    try:
        assert len(Scorer.load(folder).predict(table(5))) == 5
        with pytest.raises(InputError, match="no file"):
            open_finished_run(folder)
    finally:
        hidden.rename(stored)


def test_names_that_are_not_text_are_reported_and_scored(tmp_path):
    frame = table().rename(columns={"x": 0, "n": 1, "y": 2})
    heard = []
    result = run(
        frame, out=tmp_path / "run", listener=Listener(say=heard.append), **{**KEYS, "target": 2}
    )
    assert "warning: column names became text: '0', '1', '2'" in heard
    assert len(Scorer.load(result.folder).predict(frame)) == 300


@pytest.mark.parametrize("bad", [{"target": "z"}, {"split": {"by": "time", "column": "z"}}])
def test_a_frame_that_does_not_fit_leaves_nothing(made, tmp_path, bad):
    with pytest.raises(InputError, match="'z'"):
        run(table(20), out=tmp_path / "run", **{**KEYS, **bad})
    assert not (tmp_path / "run").exists()
    # a finished run stays finished, with its own frame
    folder = made[1]["index"].folder
    with pytest.raises(InputError, match="'z'"):
        run(table(20), resume=folder, **{**KEYS, **bad})
    assert (folder / "manifest.json").exists() and len(list((folder / "frame").iterdir())) == 1


def test_an_unknown_key_leaves_nothing(tmp_path):
    with pytest.raises(ConfigError, match="modles: unknown key"):
        run(table(20), out=tmp_path / "run", modles={}, **KEYS)
    assert not (tmp_path / "run").exists()
