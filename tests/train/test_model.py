"""The registry: what CONTRIBUTING says of a new model is enough for a whole run."""

import json
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from pipeline.config.model import Config
from pipeline.device.choose import frames_of
from pipeline.execution.runner import run
from pipeline.predict.scorer import Scorer
from pipeline.train import model
from pipeline.train.fitted_model import FittedModel, fields_of_sidecar
from pipeline.train.model import ModelEntry
from pipeline.train.params import ModelParams


class RidgeParams(ModelParams):
    """A linear regression."""

    alpha: float = 1.0


class RidgeScore:
    def __init__(self, coefficients):
        self.coefficients = np.asarray(coefficients)

    def __call__(self, x):
        return np.nan_to_num(x) @ self.coefficients[1:] + self.coefficients[0]


def train(params, feed, options):
    blocks = list(feed.blocks("train"))
    xp = frames_of(feed.device).xp
    x = xp.concatenate([np.column_stack([np.ones(len(b.x)), np.nan_to_num(b.x)]) for b in blocks])
    y = xp.concatenate([b.label for b in blocks])
    coefficients = np.linalg.solve(x.T @ x + params.alpha * np.eye(x.shape[1]), x.T @ y)
    return FittedModel(
        name="ridge",
        target=feed.target,
        features=tuple(feed.features),
        score=RidgeScore(coefficients),
        content=coefficients.tolist(),
        importances={f.name: 1 / len(feed.features) for f in feed.features},
        rounds=1,
        history={},
        notes=(),
        device=feed.device,
        details={},
    )


def load(content, sidecar, device, path, *, bulk):
    coefficients = json.loads(content)
    fields = fields_of_sidecar(sidecar)
    return FittedModel(**fields, score=RidgeScore(coefficients), content=coefficients, details={})


@pytest.fixture
def ridge(monkeypatch):
    module = ModuleType("pipeline.train.ridge.model")
    module.train, module.load = train, load
    module.to_bytes = lambda fitted: json.dumps(fitted.content).encode()
    module.is_beginning = lambda beginning: beginning[:1] == b"["
    module.find_fault = lambda content, features, classes: ""
    module.can_load = lambda device: True
    entry = ModelEntry(
        params=RidgeParams, file="ridge.json.txt", library="NumPy", packages=("numpy",), parity=0.01
    )
    monkeypatch.setitem(model.MODEL_REGISTRY, "ridge", entry)
    imported = model.import_model
    monkeypatch.setattr(
        model, "import_model", lambda name: module if name == "ridge" else imported(name)
    )
    monkeypatch.setattr("pipeline.train.model_io.import_model", model.import_model)


def test_a_new_model_runs_from_its_registry_entry(ridge, tmp_path):
    n = np.arange(500)
    frame = pd.DataFrame({"a": n % 7, "b": (n * 31) % 50, "y": 2.0 * (n % 7) + 0.1})
    frame.to_parquet(tmp_path / "rows.parquet")
    config = {
        "data": {"path": str(tmp_path / "rows.parquet"), "target": "y", "task": "regression"},
        "features": [],
        "models": {"ridge": {"alpha": 0.5}, "xgboost": {"rounds": 2}},
        "device": "cpu",
    }
    run(Config.model_validate(config), out=tmp_path / "run")
    assert (tmp_path / "run" / "train" / "ridge.json.txt").is_file()
    metrics = json.loads((tmp_path / "run" / "evaluate" / "metrics.json").read_text())
    assert list(metrics["models"]) == ["xgboost", "ridge"]
    assert metrics["models"]["ridge"]["test"]["r2"] > 0.99
    scorer = Scorer.load(tmp_path / "run", "ridge")
    predictions = scorer.predict(frame.drop(columns="y"))
    assert np.abs(predictions["prediction"] - frame["y"]).max() < 0.1
