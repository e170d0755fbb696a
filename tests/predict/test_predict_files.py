"""Files scored by a small run: rows, kept columns, filters, and what new data may look like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline
from pipeline import Config, Scorer, run
from pipeline.errors import ConfigError, DataError, SchemaError
from pipeline.ingest.blocks import plan_blocks
from pipeline.predict import batch
from pipeline.predict.batch import predict_files

N = 300
QUICK = {
    "models": {"xgboost": {"rounds": 5}},
    "refit": "never",
    "cluster": {"kind": "process", "dashboard": False},
}


def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "e": rng.choice(["a", "b"], N),
            "t": np.arange(N),
            "x": np.round(rng.normal(size=N), 3),
            "n": pd.array(rng.integers(0, 9, N), dtype="Int64"),
        }
    )
    frame.loc[::7, "n"] = pd.NA
    frame["y"] = np.where(frame["x"] > 0, "will stay", "may go, soon")
    return frame


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of a run, its data as CSV)."""
    folder = tmp_path_factory.mktemp("run")
    table().to_csv(folder / "d.csv", index=False)
    features = [
        {"filter": "x > -1"},
        {"lag": {"by": ["e"], "order": "t", "columns": ["n"], "shift": [1]}},
        {"categorify": {"columns": ["E"]}},
        {"drop": ["t"]},
    ]
    data = {"path": str(folder / "d.csv"), "target": "y"}
    tree = {"data": data, "features": features, **QUICK}
    return run(Config.parse(tree), out=folder / "run").folder, folder / "d.csv"


def scored(made, path, out, **options):
    predict_files(made[0], [str(path)], out, **options)
    return pd.read_csv(out) if out.suffix == ".csv" else pd.read_parquet(out)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("new", [".csv", ".parquet"])
def test_no_rows_give_a_file_without_rows(made, tmp_path, ending, new):
    path = tmp_path / f"new{new}"
    none = table().iloc[:0]
    none.to_csv(path, index=False) if new == ".csv" else none.to_parquet(path)
    found = scored(made, path, tmp_path / f"out{ending}", keep=["e", "n"])
    assert len(found) == 0
    assert [*found] == ["e", "n", "prediction", "p_may go, soon", "p_will stay"]


def test_a_column_that_the_run_does_not_know_can_be_kept(made, tmp_path):
    frame = table().assign(ticket=np.arange(N) * 3, note="ü")
    frame.to_csv(tmp_path / "new.csv", index=False)
    found = scored(made, tmp_path / "new.csv", tmp_path / "o.parquet", keep=["ticket", "note"])
    assert found["ticket"].tolist() == frame["ticket"].tolist()
    assert set(found["note"]) == {"ü"}
    done = predict_files(made[0], [str(tmp_path / "new.csv")], tmp_path / "o.csv", keep=["note"])
    assert done.extra == ("ticket",)


def test_a_kept_column_may_not_be_called_as_a_prediction(made, tmp_path):
    table().assign(prediction=1).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(ConfigError, match="--keep prediction: the predictions have"):
        scored(made, tmp_path / "new.csv", tmp_path / "o.csv", keep=["prediction"])


def test_rows_that_a_filter_drops_are_no_earlier_rows_of_others(made, tmp_path):
    new = table().assign(t=np.arange(N) + N)
    new.to_csv(tmp_path / "all.csv", index=False)
    new[new["x"] > -1].to_csv(tmp_path / "some.csv", index=False)
    every = scored(made, tmp_path / "all.csv", tmp_path / "a.parquet")
    some = scored(made, tmp_path / "some.csv", tmp_path / "b.parquet")
    kept = every[(new["x"] > -1).to_numpy()].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, some)
    assert every["prediction"].isna().sum() == (new["x"] <= -1).sum() > 0


def test_kept_columns_do_not_change_predictions(made, tmp_path):
    plain = scored(made, made[1], tmp_path / "a.parquet")
    beside = scored(made, made[1], tmp_path / "b.parquet", keep=["y", "n", "t"])
    pd.testing.assert_frame_equal(plain, beside[plain.columns])


def test_integers_as_pandas_writes_them_beside_missing_ones_are_integers(made, tmp_path):
    frame = table()
    before = scored(made, made[1], tmp_path / "a.parquet")
    floats = frame.assign(n=frame["n"].astype("float64"))
    floats.to_csv(tmp_path / "new.csv", index=False)
    pd.testing.assert_frame_equal(
        scored(made, tmp_path / "new.csv", tmp_path / "b.parquet"), before
    )
    floats.loc[3, "n"] = 48.5
    floats.to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError) as caught:
        scored(made, tmp_path / "new.csv", tmp_path / "o.csv")
    assert "line 5, column 'n': '48.5' is not an integer" in str(caught.value)
    assert "trained on an integer" in str(caught.value)
    assert "data.types" not in str(caught.value)
    assert not (tmp_path / "o.csv").exists()


def test_what_new_data_say_otherwise_is_noted(made, tmp_path):
    frame = table().rename(columns={"e": " E "})
    frame["e2"] = "é"
    frame.to_csv(tmp_path / "new.csv", index=False, encoding="cp1252")
    result = predict_files(made[0], [str(tmp_path / "new.csv")], tmp_path / "out.csv")
    assert {note.kind for note in result.notes} == {"header", "encoding"}
    assert "note: the text is read as cp1252" in result.text()
    assert [note["kind"] for note in result.to_json()["notes"]] == [n.kind for n in result.notes]
    same = predict_files(made[0], [str(made[1])], tmp_path / "same.csv")
    assert same.notes == ()


def test_blocks_whose_kept_text_is_all_missing_are_written_as_text(tmp_path, monkeypatch):
    frame = table().drop(columns="t")
    frame.to_parquet(tmp_path / "d.parquet", row_group_size=50)
    data = {"path": str(tmp_path / "d.parquet"), "target": "y"}
    run(Config.parse({"data": data, **QUICK}), out=tmp_path / "run")
    monkeypatch.setattr(batch, "plan_blocks", lambda contract, size: plan_blocks(contract, 1))
    monkeypatch.setattr(batch, "SMALL_BLOCK", 1)
    frame.loc[:120, "e"] = None
    frame.to_parquet(tmp_path / "new.parquet", row_group_size=50)
    predict_files(
        tmp_path / "run", [str(tmp_path / "new.parquet")], tmp_path / "o.parquet", keep=["e"]
    )
    found = pq.read_table(tmp_path / "o.parquet")
    assert found["e"].to_pylist() == [None] * 121 + frame["e"].tolist()[121:]


def test_the_columns_that_are_needed_are_found_out_once(tmp_path):
    """Not for each column: with 10,000 that was most of a prediction."""
    table().to_parquet(tmp_path / "d.parquet")
    data = {"path": str(tmp_path / "d.parquet"), "target": "y"}
    folder = run(Config.parse({"data": data, **QUICK}), out=tmp_path / "run").folder
    plan = Scorer.load(folder).plan
    assert plan.needed and plan.needed is plan.needed and plan.names is plan.names


def test_many_blocks_give_the_rows_of_one_in_input_order(tmp_path, monkeypatch):
    frame = table()
    frame.to_parquet(tmp_path / "d.parquet", row_group_size=7)
    data = {"path": str(tmp_path / "d.parquet"), "target": "y"}
    folder = run(Config.parse({"data": data, **QUICK}), out=tmp_path / "run").folder
    one = scored((folder,), tmp_path / "d.parquet", tmp_path / "a.parquet", keep=["t"])
    monkeypatch.setattr(batch, "plan_blocks", lambda contract, size: plan_blocks(contract, 1))
    monkeypatch.setattr(batch, "SMALL_BLOCK", 1)
    many = scored((folder,), tmp_path / "d.parquet", tmp_path / "b.parquet", keep=["t"])
    assert pq.ParquetFile(tmp_path / "b.parquet").num_row_groups > 40
    assert many["t"].tolist() == list(range(N))
    pd.testing.assert_frame_equal(one, many)


def test_a_bad_block_ends_the_prediction_and_leaves_no_file(tmp_path, monkeypatch):
    frame = table()
    frame.to_parquet(tmp_path / "d.parquet", row_group_size=7)
    data = {"path": str(tmp_path / "d.parquet"), "target": "y"}
    folder = run(Config.parse({"data": data, **QUICK}), out=tmp_path / "run").folder
    monkeypatch.setattr(batch, "plan_blocks", lambda contract, size: plan_blocks(contract, 1))
    monkeypatch.setattr(batch, "SMALL_BLOCK", 1)
    text = frame.to_csv(index=False).replace(frame.to_csv(index=False).split("\n")[200], "a,b", 1)
    (tmp_path / "new.csv").write_text(text)
    with pytest.raises(DataError):
        scored((folder,), tmp_path / "new.csv", tmp_path / "o.csv")
    assert not list(tmp_path.glob("o.csv*"))


def test_dash_prints_the_bytes_of_the_file(made, tmp_path, capsysbinary):
    predict_files(made[0], [str(made[1])], tmp_path / "o.csv", keep=["t"])
    found = predict_files(made[0], [str(made[1])], "-", keep=["t"])
    assert capsysbinary.readouterr().out == (tmp_path / "o.csv").read_bytes()
    assert "standard output" in found.text()


def test_dash_prints_nothing_where_a_value_is_bad(made, tmp_path, capsysbinary):
    (tmp_path / "new.csv").write_text("e,t,x,n\na,1,0.5,3\nb,2,oops,4\n")
    with pytest.raises(DataError, match="'oops'"):
        predict_files(made[0], [str(tmp_path / "new.csv")], "-")
    assert capsysbinary.readouterr().out == b""


def test_a_scorer_in_a_notebook(made):
    assert {"Config", "Scorer", "run"} <= set(dir(pipeline))
    scorer = Scorer.load(made[0])
    assert repr(scorer) == f"Scorer(run={str(made[0])!r}, model='xgboost', device='cpu')"
    found = scorer.importances
    assert found.is_monotonic_decreasing and found.sum() == pytest.approx(1)
    assert found.index[0] == "x" and set(found.index) == {"e", "x", "n", "n__shift_1"}
    for rows in (table().to_dict("records"), table().iloc[0]):
        with pytest.raises(SchemaError, match=r"frame is needed.*, this is a (list|Series)"):
            scorer.predict(rows)


def test_a_run_takes_the_path_of_its_config(made, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "pipeline.execution.runner._prepare_on_device", lambda config: asked.append(config) or 1 / 0
    )
    for path in (made[0] / "config.yaml", str(made[0] / "config.yaml")):
        with pytest.raises(ZeroDivisionError):
            run(path, out=tmp_path / "run")
    assert asked[0] == asked[1] == Config.load(made[0] / "config.yaml")


@pytest.mark.parametrize("new", [".csv", ".parquet"])
def test_names_with_other_blanks_and_case(made, tmp_path, new):
    expected = scored(made, made[1], tmp_path / "a.parquet", keep=["e"])
    other = table().drop(columns="y").rename(columns={"e": "E ", "x": " X", "n": "N", "t": "T"})
    path = tmp_path / f"new{new}"
    other.to_csv(path, index=False) if new == ".csv" else other.to_parquet(path)
    result = predict_files(made[0], [str(path)], tmp_path / "b.parquet", keep=["E "])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "b.parquet"), expected)
    notes = {note.column for note in result.notes if note.kind == "header"}
    assert {"e", "x", "n"} <= notes
    predictions = expected.drop(columns="e")
    scorer = Scorer.load(made[0])
    for frame in (other, other.set_index("T"), pa.Table.from_pandas(other)):
        scores = scorer.predict(frame).reset_index(drop=True)
        pd.testing.assert_frame_equal(scores, predictions, check_dtype=False)
    with pytest.raises(SchemaError, match="rename the right one of 'E ', 'E'"):
        scorer.predict(other.assign(E="a"))
