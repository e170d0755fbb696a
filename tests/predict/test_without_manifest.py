"""Runs without their manifest and altered runs are refused; so are sealed models made to do harm."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import treelite
import xgboost
from ubjson_text import dumped

from pipeline import Config, run
from pipeline.__main__ import run_command_line
from pipeline.artifacts.files import write_manifest
from pipeline.errors import InputError
from pipeline.predict.batch import predict_files
from pipeline.predict.scorer import Scorer
from pipeline.train.xgboost import ubjson

N = 300
MODELS = ("xgboost", "forest")
CONTENT = {"xgboost": "train/xgboost.ubj", "forest": "train/forest.tl"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a finished run, ``run``, and its data, ``d.csv``."""
    folder = tmp_path_factory.mktemp("trial")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=N), "z": rng.normal(size=N),
                          "c": rng.choice(["a", "b", "c"], N)})  # fmt: skip
    frame.assign(y=frame["x"] + frame["z"] > 0).to_csv(folder / "d.csv", index=False)
    tree = {
        "data": {"path": str(folder / "d.csv"), "target": "y"},
        "features": [{"target_encode": {"columns": ["c"]}}],
        "models": {"xgboost": {"rounds": 4}, "forest": {"trees": 4}}, "refit": "never",
        "cluster": {"kind": "process", "dashboard": False},
    }  # fmt: skip
    run(Config.parse(tree), out=folder / "run")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the run's folder."""
    return shutil.copytree(made / "run", tmp_path / "run")


@pytest.fixture
def bare(folder):
    (folder / "manifest.json").unlink()
    return folder


OPENED = ["config.yaml", "features/plan.json", "golden.parquet", "ingest/schema.json",
          "train/xgboost.json", "train/xgboost.ubj"]  # fmt: skip


@pytest.mark.parametrize("name", [*OPENED, "features/tables"])
def test_an_altered_run_is_refused_by_the_files_name(made, folder, tmp_path, name):
    path = next((folder / name).iterdir()) if name.endswith("tables") else folder / name
    content = path.read_bytes()
    out = tmp_path / "out.csv"
    for damage in (content[:-1], bytes([content[0] ^ 1]) + content[1:], b""):
        path.write_bytes(damage)
        with pytest.raises(InputError, match=f"{path.name} was altered after the run"):
            predict_files(folder, [str(made / "d.csv")], out, model="xgboost")
    path.unlink()
    with pytest.raises(InputError, match=f"{path.name} is missing"):
        predict_files(folder, [str(made / "d.csv")], out, model="xgboost")
    elsewhere = tmp_path / "same"
    elsewhere.write_bytes(content)
    path.symlink_to(elsewhere)
    with pytest.raises(InputError, match=f"{path.name} is a link"):
        predict_files(folder, [str(made / "d.csv")], out, model="xgboost")
    assert not out.exists()


def test_nothing_of_an_altered_model_is_opened(folder, monkeypatch):
    (folder / CONTENT["forest"]).write_bytes(b"\xff" * 1000)
    monkeypatch.setattr(treelite.Model, "deserialize_bytes", lambda _: pytest.fail("opened"))
    with pytest.raises(InputError, match=r"forest\.tl was altered"):
        Scorer.load(folder, "forest")


def test_a_run_without_its_manifest_is_refused_with_what_to_do(made, bare, tmp_path, capsys):
    new, out = str(made / "d.csv"), str(tmp_path / "o.csv")
    assert run_command_line(["predict", str(bare), new, "--out", out]) == 2
    message = capsys.readouterr().err
    assert f"'{bare}' is not a finished run: it has no manifest.json" in message
    assert f"finish the run: python -m pipeline run --resume {bare}; or restore" in message
    assert not (tmp_path / "o.csv").exists()
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        Scorer.load(bare)


@pytest.mark.parametrize("name", MODELS)
def test_a_models_file_names_its_run(made, folder, name):
    assert Scorer.load(folder / CONTENT[name]).model.name == name
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match="has no manifest.json"):
        Scorer.load(folder / CONTENT[name])


def crossed(content, change):
    """A checkpoint with a tree whose fields ``change`` has changed."""
    model = treelite.Model.deserialize_bytes(content)
    tree = model.get_tree_accessor(1)
    change(tree)
    return model.serialize_bytes()


def looping(tree):
    left = tree.get_field("cleft").copy()
    left[0] = 0
    tree.set_field("cleft", left)


def seal(run, name, content):
    """Write a file of the run, and a manifest that fits, as whoever makes a run can."""
    (run / name).write_bytes(content)
    facts = json.loads((run / "manifest.json").read_text())
    write_manifest(run, {key: value for key, value in facts.items() if key != "files"})


def test_a_sealed_forest_that_never_ends_is_refused_before_it_is_scored(made, folder, tmp_path):
    seal(folder, CONTENT["forest"], crossed((folder / CONTENT["forest"]).read_bytes(), looping))
    with pytest.raises(InputError, match=r"forest\.tl: tree 1: a node is reached twice"):
        predict_files(folder, [str(made / "d.csv")], tmp_path / "o.csv", model="forest")


def test_a_sealed_booster_that_never_ends_is_refused_before_xgboost_loads_it(
    made, folder, tmp_path, monkeypatch
):
    model = ubjson.parse((folder / CONTENT["xgboost"]).read_bytes())
    tree = model["learner"]["gradient_booster"]["model"]["trees"][1]
    tree["left_children"] = np.where(tree["left_children"] > 0, 0, -1).astype(">i4")
    seal(folder, CONTENT["xgboost"], dumped(model))
    monkeypatch.setattr(xgboost, "Booster", lambda **_: pytest.fail("loaded"))
    with pytest.raises(InputError, match=r"xgboost\.ubj: tree 1: a node is reached twice"):
        predict_files(folder, [str(made / "d.csv")], tmp_path / "o.csv", model="xgboost")


def test_a_model_is_checked_as_what_it_is_loaded_as(made, folder, tmp_path):
    facts = json.loads((folder / "train" / "xgboost.json").read_text())
    text = json.dumps({**facts, "model": "forest", "fill": [0, 0, 0], "present": [0, 1]})
    seal(folder, "train/xgboost.json", text.encode())
    with pytest.raises(InputError, match="model: must be 'xgboost'"):
        predict_files(folder, [str(made / "d.csv")], tmp_path / "o.csv", model="xgboost")
