"""What a change of config, data or program does to the stages: kept, or done again, and why."""

from __future__ import annotations

import json
import os
from copy import deepcopy

import pytest

from pipeline import Config
from pipeline.execution import fingerprints
from pipeline.execution.job import prepare_job
from pipeline.execution.memory_inputs import plan_parts
from pipeline.execution.run_stages import list_stages
from pipeline.execution.stage_cache import REUSED, UNFINISHED, StageCache, StageRecord

FEATURES = {"features", "refit features"}
XGBOOST, FOREST = {"train xgboost", "refit xgboost"}, {"train forest", "refit forest"}
MODELS = {*XGBOOST, *FOREST, "evaluate"}
ALL = {"read", "split", *FEATURES, *MODELS}


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "d.csv").write_text(
        "x,g,y\n" + "".join(f"{i}.5,{'abc'[i % 3]},{i % 2}\n" for i in range(90))
    )
    (tmp_path / "t.csv").write_text("g,v\na,1\nb,2\nc,3\n")
    return {
        "data": {
            "path": str(tmp_path / "d.csv"), "target": "y",
            "tables": {"t": {"path": str(tmp_path / "t.csv"), "keys": ["g"]}},
        },
        "features": [
            {"join": {"table": "t", "columns": ["v"]}},
            {"scale": {"columns": ["x"]}},
            {"categorify": {"columns": ["g"]}},
        ],
        "models": {"xgboost": {"rounds": 5}, "forest": {"trees": 3}},
        "refit": "always", "device": "cpu",
    }  # fmt: skip


def inputs(job):
    """What the stages of the job depend on, in order."""
    plan = plan_parts(job, 2, None)[1]
    return {stage.id: stage.inputs(job, plan) for stage in list_stages(job)}


def judged(tree, folder, device=None, resumed=True):
    """The stages of a folder, judged for the config."""
    job = prepare_job(Config.parse(deepcopy(tree)))
    cache = StageCache(folder, resumed=resumed)
    cache.decide(inputs(job), [device or "cpu"])
    return cache


def finish(cache):
    """Every stage leaves a record, and a file."""
    for stage, own in cache.decisions.items():
        path = cache.folder_of(stage) / "file"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(stage))
        files = cache.hash_files([path])
        record = StageRecord(own.key, own.device, own.inputs, files, {}, 1, [], [], [])
        cache.write_record(stage, record)


def again(cache):
    return {str(stage): own.reason for stage, own in cache.decisions.items() if own.record is None}


def changed(tree, path, value):
    found = deepcopy(tree)
    node = found
    *parents, last = path
    for part in parents:
        node = node[part]
    node[last] = value
    return found


@pytest.mark.parametrize(
    ("change", "redone", "why"),
    [
        ((("models", "forest", "trees",), 4), {*FOREST, "evaluate"}, "models.forest.trees was 3, is 4"),
        ((("models", "xgboost", "rounds",), 6), {*XGBOOST, "evaluate"}, "rounds was 5, is 6"),
        ((("models", "forest",), None), {"evaluate"}, "models was ['xgboost', 'forest'], is ['xgboost']"),
        ((("features", 1,), {"log": {"columns": ["x"]}}), FEATURES | MODELS, "features[1] was {'scale'"),
        ((("golden",), 9), FEATURES | MODELS, "golden was 50, is 9"),
        ((("split",), {"test": 0.3}), ALL - {"read"}, "split.test was 0.2, is 0.3"),
        ((("seed",), 1), ALL - {"read"}, "seed was 0, is 1"),
        ((("data", "target",), "y == 0"), ALL - {"read"}, "data.target was 'y', is 'y == 0'"),
        ((("data", "rows",), 80), ALL, "data.rows is new"),
        ((("data", "types",), {"y": "integer"}), ALL, "data.types was {}, is {'y': 'integer'}"),
        ((("evaluate",), {"slices": ["g"]}), {"evaluate"}, "evaluate.slices was [], is ['g']"),
        ((("cluster",), {"kind": "cores"}), set(), ""),
        ((("memory",), {"host": "1GB"}), set(), ""),
        ((("name",), "other"), set(), ""),
    ],
)  # fmt: skip
def test_what_a_change_of_the_config_does_again(tree, tmp_path, change, redone, why):
    finish(judged(tree, tmp_path))
    found = judged(changed(tree, *change), tmp_path)
    told = again(found)
    assert set(told) == redone
    assert why in "".join(told.values())
    assert {d.reason for d in found.decisions.values() if d.record} <= {REUSED}


def test_a_file_that_was_touched_does_all_again(tree, tmp_path):
    finish(judged(tree, tmp_path))
    os.utime(tmp_path / "d.csv", ns=(1, 1))
    told = again(judged(tree, tmp_path))
    assert set(told) == ALL and "d.csv has changed" in told["read"]
    assert told["split"] == "recomputed: upstream stage `read` changed"


def test_a_side_table_that_was_touched_does_the_features_again(tree, tmp_path):
    finish(judged(tree, tmp_path))
    os.utime(tmp_path / "t.csv", ns=(1, 1))
    told = again(judged(tree, tmp_path))
    assert set(told) == FEATURES | MODELS and "t.csv has changed" in told["features"]


def test_another_device_version_or_program_does_all_again(tree, tmp_path, monkeypatch):
    finish(judged(tree, tmp_path))
    assert "the device was cpu, is gpu" in again(judged(tree, tmp_path, "gpu"))["read"]
    with monkeypatch.context() as patch:
        patch.setattr(fingerprints, "_hash_code", lambda: "other")
        told = again(judged(tree, tmp_path))
        assert set(told) == ALL and "the code of pipeline has changed" in told["read"]
    monkeypatch.setattr(
        fingerprints, "find_versions", lambda libraries: dict.fromkeys(libraries, "0")
    )
    assert "the version of numpy was" in again(judged(tree, tmp_path))["read"]


def test_what_a_lost_gpu_had_finished_is_kept(tree, tmp_path):
    finish(judged(tree, tmp_path, "gpu"))
    cache = StageCache(tmp_path, resumed=True)
    job = prepare_job(Config.parse(tree))
    cache.decide(inputs(job), ["cpu", "gpu"])
    assert again(cache) == {}


def test_a_file_that_is_gone_or_altered_is_made_again_alone(tree, tmp_path):
    finish(judged(tree, tmp_path))
    (tmp_path / "stages" / "features" / "file").write_text("altered")
    (tmp_path / "stages" / "train-forest" / "file").unlink()
    assert again(judged(tree, tmp_path)) == {
        "features": "recomputed: stages/features/file is missing or altered",
        "train forest": "recomputed: stages/train-forest/file is missing or altered",
    }


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"key": "", "device": "", "facts": [], "files": {}}', '{"key": 1}', '"x"', ""],
)
def test_a_damaged_record_is_none(tree, tmp_path, text):
    finish(judged(tree, tmp_path))
    (tmp_path / "stages" / "evaluate.json").write_text(text)
    assert again(judged(tree, tmp_path)) == {"evaluate": f"recomputed: {UNFINISHED}"}


def test_a_record_does_not_lead_out_of_the_folder(tree, tmp_path):
    finish(judged(tree, tmp_path))
    path = tmp_path / "stages" / "evaluate.json"
    record = json.loads(path.read_text())
    for name in ("../d.csv", "/etc/passwd"):
        record["files"] = {name: "0" * 64}
        path.write_text(json.dumps(record))
        assert name in again(judged(tree, tmp_path))["evaluate"]


def test_a_run_that_begins_anew_keeps_nothing_and_gives_no_reason(tree, tmp_path):
    finish(judged(tree, tmp_path))
    assert set(again(judged(tree, tmp_path, resumed=False)).values()) == {""}


def test_records_hold_no_path_of_the_run_and_no_time(tree, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    finish(judged(tree, a))
    finish(judged(tree, b))
    for path in a.rglob("*.json"):
        assert path.read_bytes() == (b / path.relative_to(a)).read_bytes()
