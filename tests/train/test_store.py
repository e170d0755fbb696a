import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import treelite
from list_feed import FEATURES, TARGETS, ListFeed, feed_of, rows_of

from pipeline.errors import InputError
from pipeline.train import golden, model, model_io
from pipeline.train.fitted_model import TrainingOptions
from pipeline.train.forest import scoring
from pipeline.train.model import parse_models

SMALL = {"xgboost": {"rounds": 20, "max_depth": 3}, "forest": {"trees": 8, "max_depth": 8}}
NAMES = list(SMALL)


@pytest.fixture(scope="module")
def trained():
    made = {}
    for task in TARGETS:
        feed = feed_of(task, 1200, 300)
        made[task] = (
            feed,
            {
                name: model.train(name, params, feed, TrainingOptions(seed=0, threads=1))
                for name, params in parse_models(SMALL).items()
            },
        )
    return made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", TARGETS)
def test_loaded_is_what_was_saved(trained, tmp_path, task, name):
    feed, models = trained[task]
    model_io.save(models[name], tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(model_io.file_names(name))
    found = model_io.load(name, tmp_path)
    x = feed.sets["train"][0]
    for rows in (1, scoring.FEW, len(x)):
        expected = models[name].predict(x[:rows])
        assert np.abs(found.predict(x[:rows]) - expected).max() < 1e-6
        assert found.predict(x[:rows]).shape == expected.shape
    for field in ("target", "features", "importances", "rounds", "notes", "device", "history"):
        assert getattr(found, field) == getattr(models[name], field)
    model_io.save(found, tmp_path / "again")
    for file in model_io.file_names(name):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / file).read_bytes()


@pytest.mark.parametrize("task", TARGETS)
def test_a_forest_of_a_run_scores_alike_however_the_rows_are_divided(
    trained, tmp_path, task, monkeypatch
):
    feed, models = trained[task]
    model_io.save(models["forest"], tmp_path)
    x = feed.sets["train"][0]
    monkeypatch.setattr(treelite.gtil, "predict", lambda *a, **k: pytest.fail("another function"))
    for own in (
        model_io.load("forest", tmp_path, bulk=True),
        model_io.to_device(models["forest"], "cpu"),
    ):
        parts = [own.predict(part) for part in np.split(x, 4)]
        assert np.array_equal(np.concatenate(parts), own.predict(x))


def test_one_class_survives(tmp_path):
    x, y = rows_of("binary", 100)
    feed = ListFeed(FEATURES, TARGETS["binary"], {"train": (x, y * 0, None)})
    for name, params in parse_models(SMALL).items():
        fitted = model.train(name, params, feed, TrainingOptions(seed=0, threads=1))
        model_io.save(fitted, tmp_path)
        assert np.array_equal(model_io.load(name, tmp_path).predict(x), fitted.predict(x))


def test_the_forest_loads_without_scikit_learn_or_xgboost(trained, tmp_path):
    model_io.save(trained["binary"][1]["forest"], tmp_path)
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from pipeline.train import model_io\n"
        f"f = model_io.load('forest', Path({str(tmp_path)!r}))\n"
        "f.predict(np.zeros((1, 4), 'float32'))\n"
        "assert 'xgboost' not in sys.modules and 'sklearn.ensemble' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_and_missing_files(trained, tmp_path, name):
    model_io.save(trained["binary"][1][name], tmp_path)
    content, sidecar = (tmp_path / file for file in model_io.file_names(name))
    facts = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**facts, "format": 99}))
    with pytest.raises(InputError, match="format 99"):
        model_io.load(name, tmp_path)
    sidecar.write_text(json.dumps(facts))
    content.unlink()
    with pytest.raises(InputError, match="is missing"):
        model_io.load(name, tmp_path)


def test_an_xgboost_file_that_is_none(trained, tmp_path):
    model_io.save(trained["binary"][1]["xgboost"], tmp_path)
    for content in (b"{no model}", b""):
        (tmp_path / "xgboost.ubj").write_bytes(content)
        with pytest.raises(InputError, match="damaged"):
            model_io.load("xgboost", tmp_path)


@pytest.mark.parametrize("task", TARGETS)
def test_golden_rows(trained, tmp_path, task):
    feed, models = trained[task]
    drawn = golden.choose_rows(feed, 30, 0)
    table = golden.score_rows(models, feed, drawn)
    assert len(table) == 30
    assert np.array_equal(drawn, golden.choose_rows(feed.split(11), 30, 0), equal_nan=True)
    table.to_parquet(tmp_path / "golden.parquet", index=False)
    read = pd.read_parquet(tmp_path / "golden.parquet")
    for name, fitted in models.items():
        model_io.save(fitted, tmp_path)
        golden.check({name: model_io.load(name, tmp_path)}, read)
    x = feed.sets["train"][0]
    names = [f.name for f in FEATURES]
    known = {tuple(row) for row in x[~np.isnan(x).any(axis=1)].tolist()}
    kept = [row for row in table[names].to_numpy().tolist() if tuple(row) in known]
    assert not kept
    spoilt = read.copy()
    column = golden.score_columns("forest", models["forest"])[0]
    spoilt.loc[3, column] += 0.5
    golden.check({"xgboost": models["xgboost"]}, spoilt)
    with pytest.raises(InputError, match=r"the forest model .* by up to 0\.5"):
        golden.check({"forest": models["forest"]}, spoilt)
    with pytest.raises(InputError, match="no column"):
        golden.check(models, read.drop(columns=["größe"]))


def test_fewer_rows_than_golden_rows(trained):
    _, models = trained["binary"]
    x, y = rows_of("binary", 7)
    feed = ListFeed(FEATURES, TARGETS["binary"], {"train": (x, y, None)}, parts=3)
    assert len(golden.choose_rows(feed, 50, 0)) == 7
    assert len(golden.score_rows(models, feed, golden.choose_rows(feed, 50, 0))) == 7
