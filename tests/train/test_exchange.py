"""Models trained on one device and scored on the other."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pytest
from list_feed import TARGETS, ListFeed, feed_of

from pipeline.device.choose import frames_of
from pipeline.errors import DeviceError, InputError
from pipeline.matrix import Matrix
from pipeline.train import golden, model, model_io
from pipeline.train.fitted_model import TrainingOptions
from pipeline.train.forest.scoring import ForestScore
from pipeline.train.model import parse_models
from pipeline.train.xgboost import scoring

SMALL = {"xgboost": {"rounds": 20, "max_depth": 3}, "forest": {"trees": 8, "max_depth": 8}}
NAMES = list(SMALL)


def trained(feed):
    return {
        name: model.train(name, params, feed, TrainingOptions(seed=0, threads=1))
        for name, params in parse_models(SMALL).items()
    }


@pytest.fixture(scope="module")
def on_the_cpu():
    return {task: trained(feed_of(task, 1200, 300)) for task in TARGETS}


def rows():
    return feed_of("binary", 1200, 300).sets["train"][0]


@pytest.fixture
def xgboost_with_cuda(pretended_gpu, monkeypatch):
    """The booster says that it is where it was put; the work is the CPU's."""
    monkeypatch.setattr(scoring.xgb.Booster, "set_param", lambda self, params: None)
    monkeypatch.setattr(scoring, "find_device", lambda booster: "gpu")


@pytest.mark.parametrize("task", TARGETS)
def test_a_forest_scores_through_nvforest_on_the_gpu(
    on_the_cpu, tmp_path, task, pretended_gpu, pretended_nvforest
):
    fitted = on_the_cpu[task]["forest"]
    model_io.save(fitted, tmp_path)
    found = model_io.load("forest", tmp_path, "gpu")
    gpu = frames_of("gpu")
    for n in (1, 1200):  # few rows, too: Treelite's interpreter is the host's
        x = rows()[:n]
        score = found.predict(gpu.to_device(x))
        assert score.dtype == "float64"
        expected = fitted.predict(x)
        assert score.shape == expected.shape
        assert np.abs(gpu.to_host(score) - expected).max() < 1e-6
    assert len(pretended_nvforest.LOADED) == 1
    there = model_io.to_device(fitted, "gpu")
    assert np.array_equal(there.predict(gpu.to_device(rows())), found.predict(rows()))
    assert (there.device, there.features, there.rounds) == ("cpu", fitted.features, fitted.rounds)


def test_without_nvforest_a_trained_forest_scores_itself_and_a_saved_one_says_so(
    on_the_cpu, pretended_gpu, monkeypatch
):
    monkeypatch.setitem(sys.modules, "nvforest", None)
    monkeypatch.setattr("pipeline.device.gpu.models.find_spec", lambda name: None)
    fitted = on_the_cpu["binary"]["forest"]
    own, gpu = fitted.score, frames_of("gpu")
    x = gpu.to_device(rows())
    here = ForestScore(own.target, own.fill, own.present, gpu, own.estimator, fitted.content)
    assert np.abs(here(x) - fitted.predict(rows())).max() < 1e-6
    saved = ForestScore(own.target, own.fill, own.present, gpu, None, fitted.content)
    with pytest.raises(DeviceError, match="nvForest, which is not installed") as caught:
        saved(x)
    assert "nvforest-cu13" in caught.value.fix


def test_xgboost_never_scores_on_another_device_than_asked(on_the_cpu, tmp_path, pretended_gpu):
    model_io.save(on_the_cpu["binary"]["xgboost"], tmp_path)
    cpu, gpu = model_io.load("xgboost", tmp_path), model_io.load("xgboost", tmp_path, "gpu")
    on_device = frames_of("gpu").to_device(rows())
    with pytest.raises(DeviceError, match="score on the cpu, but the matrix is on the gpu"):
        cpu.predict(on_device)
    if not scoring.xgb.build_info()["USE_CUDA"]:  # the build takes "cuda" for "cpu", and only warns
        with pytest.raises(DeviceError, match="matrix is on the gpu and XGBoost on the cpu"):
            gpu.predict(on_device)
    with pytest.raises(DeviceError, match="score on the gpu, but the matrix is on the cpu"):
        gpu.predict(rows())


@pytest.mark.parametrize("name", NAMES)
def test_golden_rows_are_scored_on_the_device(
    on_the_cpu, tmp_path, name, pretended_nvforest, xgboost_with_cuda
):
    models = {name: on_the_cpu["multiclass"][name]}
    feed = feed_of("multiclass", 1200, 300)
    table = golden.score_rows(models, feed, golden.choose_rows(feed, 30, 0))
    model_io.save(models[name], tmp_path)
    there = {name: model_io.load(name, tmp_path, "gpu")}
    golden.check(there, table, "gpu")
    table.loc[3, f"{name}__score_1"] += 1e-4
    with pytest.raises(InputError, match=f"{name} model scores the golden rows on the gpu"):
        golden.check(there, table, "gpu")


@dataclass
class DeviceFeed(ListFeed):
    """The feed's matrices on the device."""

    def blocks(self, which):
        move = frames_of(self.device).to_device
        for block in super().blocks(which):
            yield Matrix(*(None if a is None else move(np.ascontiguousarray(a)) for a in block))


@pytest.mark.gpu
@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize(("here", "there"), [("cpu", "gpu"), ("gpu", "cpu")])
def test_a_model_trained_here_scores_the_golden_rows_there(tmp_path, task, here, there):
    feed = feed_of(task, 3000, 500)
    feed = DeviceFeed(feed.features, feed.target, feed.sets, 3, here)
    models = trained(feed)
    table = golden.score_rows(models, feed, golden.choose_rows(feed, 50, 0))
    for name, fitted in models.items():
        model_io.save(fitted, tmp_path)
        for device in (here, there):
            golden.check({name: model_io.load(name, tmp_path, device)}, table, device)
