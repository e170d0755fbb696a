"""Which device scores new rows, that it is the one that was asked for, and that it is told."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipeline import Config, Scorer, run
from pipeline.cli.app import invoke
from pipeline.device.choose import DeviceChoice, frames_of
from pipeline.device.probe import Probe
from pipeline.errors import DeviceError, DeviceFull, InputError
from pipeline.ingest.blocks import plan_blocks
from pipeline.predict import batch, device_policy
from pipeline.predict.batch import predict_files
from pipeline.train.xgboost import scoring

N = 400
THERE = DeviceChoice("gpu", "gpu", "asked for: NVIDIA Pretended")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(run folder, its data)."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "e": rng.choice(["a", "b", "c"], N), "x": rng.normal(size=N).round(3),
        "n": pd.array(rng.integers(0, 9, N), dtype="Int64"),
    })  # fmt: skip
    frame.loc[::7, "n"] = pd.NA
    frame["y"] = np.where(frame["x"] + (frame["e"] == "b") > 0.3, "yes", "no")
    frame.to_parquet(folder / "d.parquet", row_group_size=90)
    tree = {
        "data": {"path": str(folder / "d.parquet"), "target": "y"},
        "features": [{"filter": "x > -2"}, {"categorify": {"columns": ["e"]}}],
        "models": {"xgboost": {"rounds": 10}, "forest": {"trees": 5}},
        "refit": "never", "cluster": {"dashboard": False}, "device": "cpu",
    }  # fmt: skip
    return run(Config.parse(tree), out=folder / "run").folder, folder / "d.parquet"


@pytest.fixture
def gpu(pretended_gpu, pretended_nvforest, monkeypatch):
    """A machine whose GPU works, as far as the pipeline can tell."""
    known = {
        "gpu": THERE,
        "auto": DeviceChoice("auto", "gpu", "it works: P"),
        "cpu": DeviceChoice("cpu", "cpu", "asked for"),
    }
    monkeypatch.setattr(device_policy, "choose_device", known.__getitem__)
    monkeypatch.setattr(scoring.xgb.Booster, "set_param", lambda self, params: None)
    monkeypatch.setattr(scoring, "find_device", lambda booster: "gpu")
    return frames_of("gpu")


@pytest.mark.parametrize("model", ["xgboost", "forest"])
def test_the_gpu_gives_what_the_cpu_gives_and_says_so(made, tmp_path, gpu, model):
    options = {"model": model, "keep": ["e", "n"]}
    there = predict_files(made[0], [str(made[1])], tmp_path / "g.parquet", device="gpu", **options)
    here = predict_files(made[0], [str(made[1])], tmp_path / "c.parquet", device="cpu", **options)
    found, expected = (pd.read_parquet(tmp_path / f"{n}.parquet") for n in "gc")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-6)
    assert there.to_json()["device"] == {
        "asked": "gpu", "chosen": "gpu", "reason": "asked for: NVIDIA Pretended",
    }  # fmt: skip
    assert "on the gpu" in there.text() and "NVIDIA Pretended" in there.text()
    assert here.to_json()["device"]["chosen"] == "cpu"


def test_everything_that_the_gpu_scores_was_put_there(made, tmp_path, gpu, monkeypatch):
    monkeypatch.setattr(gpu, "to_matrix", frames_of("cpu").to_matrix)  # a matrix left on the host
    with pytest.raises(DeviceError, match="score on the gpu, but the matrix is on the cpu"):
        predict_files(made[0], [str(made[1])], tmp_path / "o.csv", device="gpu", model="xgboost")
    assert not list(tmp_path.iterdir())


def test_auto_takes_the_gpu_for_many_rows_and_the_cpu_for_few(made, tmp_path, gpu, monkeypatch):
    monkeypatch.setattr(device_policy, "probe_gpus", lambda: Probe((), None))
    few = predict_files(made[0], [str(made[1])], tmp_path / "o.csv")
    assert (few.device.name, few.device.requested) == ("cpu", "auto")
    assert f"{N} rows: scoring takes less time than loading" in few.device.reason
    monkeypatch.setattr(device_policy, "probe_gpus", lambda: Probe((), "no driver"))
    without = predict_files(made[0], [str(made[1])], tmp_path / "o.csv")
    assert without.device == DeviceChoice("auto", "cpu", "no GPU: no driver")
    assert "loading" not in without.text() and "libraries" not in without.text()
    monkeypatch.setattr(device_policy, "FEW", N - 1)
    many = predict_files(made[0], [str(made[1])], tmp_path / "o.csv")
    assert many.device == DeviceChoice("auto", "gpu", "it works: P")


def test_a_gpu_that_fails_leaves_all_rows_to_the_cpu_under_auto_alone(
    made, tmp_path, gpu, monkeypatch
):
    monkeypatch.setattr(device_policy, "FEW", 10)
    expected = tmp_path / "c.csv"
    predict_files(made[0], [str(made[1])], expected, device="cpu")
    whole, blocks = batch._score_blocks, []

    def failing(scorer, *arguments):
        blocks.append(scorer.choice.name)
        if scorer.choice.name == "gpu" and len(blocks) > 1:
            raise MemoryError("std::bad_alloc: out_of_memory")
        return whole(scorer, *arguments)

    monkeypatch.setattr(batch, "plan_blocks", lambda contract, size: plan_blocks(contract, 1))
    monkeypatch.setattr(batch, "SMALL_BLOCK", 1)
    monkeypatch.setattr(batch, "_score_blocks", failing)
    done = predict_files(made[0], [str(made[1])], tmp_path / "g.csv")
    assert done.device == DeviceChoice(
        "auto", "cpu", "out of GPU memory: std::bad_alloc: out_of_memory"
    )
    assert "device cpu: out of GPU memory" in done.text()
    assert (tmp_path / "g.csv").read_text() == expected.read_text()
    blocks.clear()
    with pytest.raises(DeviceFull, match="out of GPU memory"):
        predict_files(made[0], [str(made[1])], tmp_path / "h.csv", device="gpu")
    assert "cpu" not in blocks
    assert not (tmp_path / "h.csv").exists()


def test_a_model_that_the_gpu_cannot_score_goes_to_the_cpu_under_auto_alone(
    made, tmp_path, pretended_gpu, monkeypatch
):
    monkeypatch.setattr("pipeline.device.gpu.models.find_spec", lambda name: None)
    monkeypatch.setattr(
        device_policy, "choose_device", lambda asked: DeviceChoice(asked, "gpu", "it works")
    )
    monkeypatch.setattr(device_policy, "FEW", 10)
    options = {"model": "forest"}
    done = predict_files(made[0], [str(made[1])], tmp_path / "o.csv", **options)
    assert done.device.name == "cpu" and "nvForest" in done.device.reason
    with pytest.raises(DeviceError, match="nvForest"):
        predict_files(made[0], [str(made[1])], tmp_path / "p.csv", device="gpu", **options)
    assert not (tmp_path / "p.csv").exists()


def test_the_golden_rows_are_scored_on_the_gpu_before_any_new_row(
    made, tmp_path, gpu, pretended_nvforest, monkeypatch
):
    own = pretended_nvforest.Forest.predict_proba
    monkeypatch.setattr(
        pretended_nvforest.Forest, "predict_proba", lambda self, x: own(self, x) + 1e-3
    )
    options = {"model": "forest", "device": "gpu"}
    with pytest.raises(InputError, match="golden rows on the gpu differently"):
        predict_files(made[0], [str(made[1])], tmp_path / "o.csv", **options)
    assert not list(tmp_path.iterdir())


def test_without_a_gpu_the_command_ends_with_the_reason(made, tmp_path, capsys, monkeypatch):
    from pipeline.__main__ import run_command_line

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    out = tmp_path / "o.csv"
    arguments = ["predict", str(made[0]), str(made[1]), "--out", str(out)]
    assert run_command_line([*arguments, "--device", "gpu"]) == 3
    assert "device: gpu, but" in capsys.readouterr().err
    assert not out.exists()
    assert run_command_line([*arguments, "--device", "tpu"]) == 2
    capsys.readouterr()
    assert invoke([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"]["chosen"] == "cpu"


def test_from_python_the_device_is_an_argument(made, gpu, monkeypatch):
    monkeypatch.setattr(
        "pipeline.predict.scorer.choose_device", lambda asked: DeviceChoice(asked, asked, "t")
    )
    frame = pd.read_parquet(made[1])
    here, there = (Scorer.load(made[0], device=d).predict(frame) for d in ("cpu", "gpu"))
    pd.testing.assert_frame_equal(here, there, rtol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["xgboost", "forest"])
def test_new_rows_on_a_real_gpu(made, tmp_path, model):
    options = {"model": model, "keep": ["e", "n"]}
    there = predict_files(made[0], [str(made[1])], tmp_path / "g.parquet", device="gpu", **options)
    predict_files(made[0], [str(made[1])], tmp_path / "c.parquet", device="cpu", **options)
    found, expected = (pd.read_parquet(tmp_path / f"{n}.parquet") for n in "gc")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-5)
    assert there.device.name == "gpu"
