"""The registry: what CONTRIBUTING says of a new model is enough for a whole run."""

import json
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from list_feed import TARGETS, feed_of

from pipeline.config.model import Config
from pipeline.execution.runner import run
from pipeline.predict.scorer import Scorer
from pipeline.train import model, model_io
from pipeline.train.fitted_model import FittedModel, TrainingOptions, fields_of_sidecar
from pipeline.train.model import ModelEntry, parse_models
from pipeline.train.params import ModelParams
from pipeline.train.weights import iter_weighted_blocks, reject_infinite


class RidgeParams(ModelParams):
    """A linear regression."""

    alpha: float = 1.0


@dataclass(frozen=True)
class RidgeScore:
    coefficients: list[float]

    def __call__(self, x):
        # Unlike `@`, `einsum` adds up in the same order whatever the number of rows.
        return np.einsum("ij,j->i", add_ones(x), np.array(self.coefficients))


def add_ones(x):
    return np.column_stack([np.nan_to_num(x.astype("float64")), np.ones(len(x))])


def train(params, feed, options):
    reject_infinite(feed)
    width = len(feed.features) + 1
    squares, products = params.alpha * np.eye(width), np.zeros(width)
    for block in iter_weighted_blocks(feed, "train", None):
        x = add_ones(block.x)
        weighted = x if block.weight is None else x * block.weight[:, None]
        squares += weighted.T @ x
        products += weighted.T @ block.label
    coefficients = np.linalg.solve(squares, products).tolist()
    return FittedModel(
        name="ridge",
        target=feed.target,
        features=tuple(feed.features),
        score=RidgeScore(coefficients),
        content=coefficients,
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
        params=RidgeParams, file="ridge.txt", library="NumPy", packages=("numpy",), parity=0.01
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
    assert (tmp_path / "run" / "train" / "ridge.txt").is_file()
    metrics = json.loads((tmp_path / "run" / "evaluate" / "metrics.json").read_text())
    assert list(metrics["models"]) == ["xgboost", "ridge"]
    assert metrics["models"]["ridge"]["test"]["r2"] > 0.99
    scorer = Scorer.load(tmp_path / "run", "ridge")
    predictions = scorer.predict(frame.drop(columns="y"))
    assert np.abs(predictions["prediction"] - frame["y"]).max() < 0.1


@pytest.mark.parametrize("task", list(TARGETS))
@pytest.mark.parametrize("name", list(model.MODEL_REGISTRY))
def test_every_registered_model_scores_the_same_once_it_is_loaded(name, task, tmp_path):
    feed = feed_of(task, 300, 100)
    params = parse_models({name: {}})[name]
    fitted = model.train(name, params, feed, TrainingOptions(seed=0, threads=1))
    model_io.save(fitted, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(model_io.file_names(name))
    x = feed.sets["valid"][0]
    scores = fitted.predict(x)
    assert scores.shape == ((len(x), 3) if task == "multiclass" else (len(x),))
    # A loaded forest adds up its trees in another order.
    assert np.abs(model_io.load(name, tmp_path).predict(x) - scores).max() < 1e-6
    loaded = model_io.load(name, tmp_path, bulk=True)
    blocks = [loaded.predict(block) for block in np.array_split(x, 7)]
    assert np.array_equal(np.concatenate(blocks), loaded.predict(x))
    assert set(fitted.importances) == {feature.name for feature in feed.features}
    content = (tmp_path / model.MODEL_REGISTRY[name].file).read_bytes()
    module = model.import_model(name)
    assert module.is_beginning(content[:4])
    assert module.find_fault(content[: len(content) // 2], len(feed.features), 3)


def test_no_file_is_taken_for_a_sidecar_or_for_another_model():
    forest = model.MODEL_REGISTRY["forest"]
    with pytest.raises(ValueError, match=r"'new': the file 'new\.JSON' ends in \.json"):
        model.check_file_names({"new": replace(forest, file="new.JSON")})
    with pytest.raises(ValueError, match=r"'forest' and 'new' have the same file 'forest\.tl'"):
        model.check_file_names({"forest": forest, "new": forest})
