"""A run without its manifest: refused, or opened by a child process first; and altered runs."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import treelite

from pipeline import Config, run
from pipeline.__main__ import status_of
from pipeline.errors import InputError
from pipeline.predict import trial
from pipeline.predict.files import predict_files
from pipeline.predict.scorer import Scorer, opened
from pipeline.sealed import Sealed
from pipeline.train import store, structure

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
        predict_files(folder, [str(made / "d.csv")], out, model="xgboost", trust=True)
    elsewhere = tmp_path / "same"
    elsewhere.write_bytes(content)
    path.symlink_to(elsewhere)
    with pytest.raises(InputError, match=f"{path.name} is a link"):
        predict_files(folder, [str(made / "d.csv")], out, model="xgboost", trust=True)
    assert not out.exists()


def test_nothing_of_an_altered_model_is_opened(folder, monkeypatch):
    (folder / CONTENT["forest"]).write_bytes(b"\xff" * 1000)
    monkeypatch.setattr(treelite.Model, "deserialize_bytes", lambda _: pytest.fail("opened"))
    with pytest.raises(InputError, match=r"forest\.tl was altered"):
        Scorer.load(folder, "forest")


def test_without_a_manifest_nothing_is_opened_unless_it_is_trusted(
    made, bare, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "psutil.py").write_text("open('ran', 'w').close()")  # whose folder may this be?
    new, out = str(made / "d.csv"), str(tmp_path / "o.csv")
    assert status_of(["predict", str(bare), new, "--out", out]) == 2
    told = capsys.readouterr().err
    assert "has no manifest.json" in told and "--trust" in told
    assert status_of(["predict", str(bare), new, "--out", out, "--trust", "-q"]) == 0
    assert not (tmp_path / "ran").exists()
    predict_files(made / "run", [new], tmp_path / "whole.csv")
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "o.csv").read_bytes()


@pytest.mark.parametrize("name", MODELS)
def test_a_models_file_names_its_run(made, folder, name):
    assert Scorer.load(folder / CONTENT[name]).model.name == name
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match="has no manifest.json"):
        Scorer.load(folder / CONTENT[name])


def test_no_secret_is_in_the_childs_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
    assert "hunter2hunter2" not in json.dumps(trial._environment())


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


def test_a_forest_that_never_ends_is_refused_before_it_is_scored(bare):
    path = bare / CONTENT["forest"]
    path.write_bytes(crossed(path.read_bytes(), looping))
    with pytest.raises(InputError, match=r"forest\.tl: tree 1: a node is reached twice"):
        structure.check(store.load("forest", path.parent), path.parent)


@pytest.mark.slow
def test_and_so_it_is_by_the_child(bare):
    path = bare / CONTENT["forest"]
    path.write_bytes(crossed(path.read_bytes(), looping))
    with pytest.raises(InputError, match=r"forest\.tl: tree 1: a node is reached twice"):
        trial.passed(bare, "forest")


def test_a_child_that_hangs_or_crashes_is_told_of(bare, monkeypatch):
    """What the child does is another program's part: here one that does just that."""
    real = subprocess.run
    for program, told in (
        ("exec sleep 60", "was not done after 1 s"), ("kill -SEGV $$", "ended by SIGSEGV"),
        ("echo bad_alloc >&2; exit 1", "bad_alloc"), ("echo '{}'", "ended with 0"),
    ):  # fmt: skip
        command = ["sh", "-c", program]
        monkeypatch.setattr(trial.subprocess, "run", lambda _, c=command, **o: real(c, **o))
        with pytest.raises(InputError, match=told):
            trial.passed(bare, "forest", seconds=1 if "sleep" in program else 60)


# -- what is looked at in a tree -------------------------------------------------------------------


def tree_of(**changes):
    found = {
        "left": [1, 3, -1, -1, -1], "right": [2, 4, -1, -1, -1], "split": [0, 1, -1, -1, -1],
    } | changes  # fmt: skip
    return [np.array(found[n]) for n in ("left", "right", "split")]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"left": [1, 0, -1, -1, -1]}, "reached twice"),
        ({"left": [1, 2, -1, -1, -1]}, "reached twice"),
        ({"left": [1, 4, -1, -1, -1]}, "reached twice"),
        ({"left": [1, 5, -1, -1, -1]}, "out of the tree"),
        ({"right": [2, -2, -1, -1, -1]}, "out of the tree"),
        ({"right": [2, -1, -1, -1, -1]}, "out of the tree"),
        ({"split": [0, 2, -1, -1, -1]}, "feature that is not there"),
        ({"split": [-1, 1, -1, -1, -1]}, "feature that is not there"),
        ({"left": [], "right": [], "split": []}, "not whole"),
        ({"right": [2, 4]}, "not whole"),
    ],
)
def test_a_tree_is_walked_to_its_leaves(changes, fault):
    found = structure.walk(*tree_of(**changes), 2)
    assert fault in found and bool(fault) == bool(found)


@pytest.mark.parametrize("name", MODELS)
def test_models_that_were_trained_are_whole(made, name):
    folder = made / "run" / "train"
    fitted = store.load(name, folder)
    structure.check(fitted, folder)
    fewer = replace(fitted, features=fitted.features[:-1])
    with pytest.raises(InputError, match="features are not those of its sidecar"):
        structure.check(fewer, folder)


BROKEN = {
    "left_children": lambda tree: tree["left_children"].__setitem__(0, 0),
    "split_indices": lambda tree: tree["split_indices"].__setitem__(0, 9),
    "split_conditions": lambda tree: tree["split_conditions"].pop(),
    "size_leaf_vector": lambda tree: tree["tree_param"].update(size_leaf_vector="3"),
    "categories": lambda tree: tree.update(
        categories_nodes=[0], categories_segments=[0], categories_sizes=[7], categories=[1]
    ),
}


@pytest.mark.parametrize("change", BROKEN)
def test_a_booster_is_looked_at_node_by_node(made, change):
    fitted = store.load("xgboost", made / "run" / "train")
    model = json.loads(bytes(fitted.content.save_raw("json")))
    BROKEN[change](model["learner"]["gradient_booster"]["model"]["trees"][2])
    altered = SimpleNamespace(save_raw=lambda kind: json.dumps(model).encode())
    with pytest.raises(InputError, match=r"xgboost\.ubj: tree 2: "):
        structure.check(replace(fitted, content=altered), made)
    model["learner"]["gradient_booster"]["model"]["tree_info"][0] = 5
    with pytest.raises(InputError, match="of other classes"):
        structure.check(replace(fitted, content=altered), made)


# -- damage of every kind --------------------------------------------------------------------------


def damages(content, draw, count):
    """(what, content) of a file damaged in so many ways."""
    yield "empty", b""
    for share in (0.1, 0.5, 0.9, 0.999):
        yield f"cut at {share}", content[: int(share * len(content))]
    yield "twice", content + content
    places = [draw.randrange(len(content) - 8) for _ in range(count)]
    for i, at in enumerate(places):
        if i % 3 == 0:
            flipped = bytes([content[at] ^ (1 << draw.randrange(8))])
            yield f"a bit at {at}", content[:at] + flipped + content[at + 1 :]
        elif i % 3 == 1:  # counts and offsets are 8 bytes somewhere
            yield f"a huge count at {at}", content[:at] + b"\xff" * 7 + b"\x7f" + content[at + 8 :]
        else:
            noise = bytes(draw.randrange(256) for _ in range(16))
            yield f"noise at {at}", content[:at] + noise + content[at + 16 :]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_damaged_models_harm_the_child_only(made, bare, name):
    """Either the child refuses, or dies and is told of, or the model scores as it did."""
    path, draw = bare / CONTENT[name], random.Random(name)
    content = path.read_bytes()
    new = pd.read_csv(made / "d.csv").drop(columns="y")
    found = {}
    for what, damaged in damages(content, draw, 30):
        path.write_bytes(damaged)
        started = time.monotonic()
        try:
            manifest = trial.passed(bare, name, seconds=60)
        except InputError as error:
            found[what] = error.message
        else:
            scores = opened(Sealed(bare, manifest), name).predict(new)
            assert len(scores) == N
            found[what] = "passed"
        print(f"{name}: {what}: {found[what][-150:]} ({time.monotonic() - started:.1f} s)")
    path.write_bytes(content)
    assert len(found) == 36 and sum(told != "passed" for told in found.values()) >= 12
    assert os.listdir(bare)
