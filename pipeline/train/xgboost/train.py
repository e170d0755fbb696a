"""Trains XGBoost on the matrices of a feed, block by block, on the feed's device."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from pipeline.device import Array
from pipeline.device.choose import frames_of
from pipeline.errors import ConfigError, DeviceError, suggest_or_list
from pipeline.matrix import Feature, Feed, Target
from pipeline.train.feed import PartitionedFeed
from pipeline.train.fitted_model import FittedModel, Progress
from pipeline.train.params import XGBoostParams
from pipeline.train.xgboost import checkpointing, distributed, local, quantile_matrix
from pipeline.train.xgboost.checkpointing import BoostingPlan, BoostingState
from pipeline.train.xgboost.local import find_device
from pipeline.train.xgboost.quantile_matrix import summarize_error

NAME = "xgboost"

# Log loss and squared error, not AUC: proper scores, smooth, defined when the valid set has one
# class, and what the probabilities are for. A user's `eval_metric` takes their place.
OBJECTIVES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "binary": (("binary:logistic",), "logloss"),
    "multiclass": (("multi:softprob",), "mlogloss"),
    "regression": (
        ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror",
         "reg:quantileerror", "reg:gamma", "reg:tweedie", "count:poisson"),
        "rmse",
    ),
}  # fmt: skip


def train(
    params: XGBoostParams,
    feed: Feed,
    *,
    seed: int,
    threads: int,
    checkpoint: Path | None,
    rounds: int | None,
    cache: Path | None,
    progress: Progress,
) -> FittedModel:
    """Boosts until the valid set gets no better, or for exactly ``rounds`` rounds.

    The model is the same to the byte however the rows are divided into blocks, for any number of
    threads, and whether or not it was resumed from ``checkpoint``. Workers of a cluster train one
    model together (`xgb_workers`), which depends on their number in the last bits.
    """
    native = make_native_params(params, feed, threads)
    notes: list[str] = []
    stops = bool(rounds is None and params.early_stopping and feed.count_rows("valid"))
    plan = BoostingPlan(
        native, seed, rounds or params.rounds, params.early_stopping if stops else 0,
        _identity(params, feed),
    )  # fmt: skip
    last = checkpointing.load_state(plan, checkpoint)
    process_notes = (f"goes on from round {last.rounds} of {plan.rounds}",) if last.segments else ()
    if last.done:
        notes += checkpointing.read_notes(checkpoint)
    else:
        keep = partial(checkpointing.save_state, plan, checkpoint, notes)
        boost = _boosting(feed, cache)
        last = boost(params, feed, plan, start=last, keep=keep, progress=progress, notes=notes)
    assert last.booster is not None
    booster, kept = last.booster, last.rounds
    if stops:
        kept = checkpointing.find_best_round(last.history) + 1
        booster = booster[:kept]
        notes.append(f"{kept} rounds kept of {last.rounds}: best on valid")
    if not booster.get_score():
        notes.append(_no_split(feed.target))
    return make_fitted_model(
        booster, feed.target, tuple(feed.features), on=feed.device, rounds=kept,
        history=last.history, notes=tuple(notes), device=feed.device, process_notes=process_notes,
    )  # fmt: skip


def _no_split(target: Target) -> str:
    # XGBoost drops splits that gain less than 1e-6, which is much for targets below 1e-4
    small = ", or the target's numbers are too small: multiply them"
    small = small if target.task == "regression" else ""
    return f"no tree splits, all rows get the same score: no column helps{small}"


def _boosting(feed: Feed, cache: Path | None) -> Callable[..., BoostingState]:
    """How the feed's matrices are boosted on: here, or by the workers that hold them."""
    if isinstance(feed, PartitionedFeed) and feed.is_distributed:
        return distributed.boost_on_workers
    return partial(local.boost_locally, cache=cache)


def make_fitted_model(
    booster: xgb.Booster, target: Target, features: tuple[Feature, ...], *, on: str, **facts: Any
) -> FittedModel:
    """The booster as a `Fitted` that scores on the device ``on``, wherever it was trained."""
    return FittedModel(
        NAME, target, features, score=_Score(booster, frames_of(on).name), content=booster,
        importances=compute_importances(booster, features), details={}, **facts,
    )  # fmt: skip


def find_mismatch(booster: xgb.Booster, target: Target, features: tuple[Feature, ...]) -> str:
    """Say how a loaded model differs from its sidecar; empty where it does not."""
    if booster.num_features() != len(features):
        return "its features are not those of its sidecar"
    learner = json.loads(booster.save_config())["learner"]
    classes = int(learner["learner_model_param"]["num_class"])
    wanted = len(target.classes) if target.task == "multiclass" else 0
    if learner["objective"]["name"] not in OBJECTIVES[target.task][0] or max(classes, 1) != max(
        wanted, 1
    ):
        return f"it does not predict what a {target.task} target needs"
    return ""


class _Score:
    """The booster's function on one device.

    XGBoost scores on the booster's device: a matrix that is on the other one it copies into a
    `DMatrix` and says so once, as a warning; a build without CUDA turns ``cuda`` into ``cpu``.
    Here either is an error.
    """

    def __init__(self, booster: xgb.Booster, device: str) -> None:
        self.booster, self.device = booster, device
        if device == "gpu":  # a model's file does not hold it, and starts out on the CPU
            booster.set_param({"device": "cuda"})

    def __call__(self, x: Array) -> Array:
        given = "gpu" if hasattr(x, "__cuda_array_interface__") else "cpu"
        used = "cpu" if self.device == "cpu" else find_device(self.booster)
        if not self.device == given == used:
            raise DeviceError(
                f"xgboost: asked to score on the {self.device}, the matrix is on the {given} and "
                f"XGBoost on the {used}",
                fix="`python -m pipeline doctor` says what the GPU lacks; or use --device cpu",
            )
        return self.booster.inplace_predict(x, validate_features=False)


def compute_importances(booster: xgb.Booster, features: tuple[Feature, ...]) -> dict[str, float]:
    """Each feature's share of the total gain of all splits."""
    gains = booster.get_score(importance_type="total_gain")
    found = [float(gains.get(name, 0.0)) for name in quantile_matrix.make_feature_names(features)]
    total = sum(found)
    return {f.name: g / total if total else 0.0 for f, g in zip(features, found, strict=True)}


# -- parameters ------------------------------------------------------------------------------------


def make_native_params(params: XGBoostParams, feed: Feed, threads: int) -> dict[str, Any]:
    """XGBoost's own parameters, tried by XGBoost on two rows before the data are read.

    Raises:
        ConfigError: one of them is refused, or has no use for this task.
    """
    allowed, metric = OBJECTIVES[feed.target.task]
    native = {"objective": allowed[0], "eval_metric": metric, **params.native}
    if native["objective"] not in allowed:
        raise ConfigError(
            f"models.xgboost.objective: {native['objective']!r} does not predict what a "
            f"{feed.target.task} target needs",
            fix=f"one of {', '.join(allowed)}",
        )
    if feed.target.task == "multiclass":
        native["num_class"] = len(feed.target.classes)
    native |= _constraints(params, tuple(feed.features))
    native |= {"nthread": threads, "device": "cuda" if feed.device == "gpu" else "cpu"}
    _try(native, feed)
    return native


def _constraints(params: XGBoostParams, features: tuple[Feature, ...]) -> dict[str, str]:
    names = [f.name for f in features]
    found = {}
    if params.monotone:
        for name in params.monotone:
            _position(name, names, "monotone")
            if features[names.index(name)].kind == "c":
                raise ConfigError(
                    f"models.xgboost.monotone: {name!r} holds category codes, which have no order",
                    fix="leave it out, or encode the column as numbers",
                )
        signs = (str(params.monotone.get(name, 0)) for name in names)
        found["monotone_constraints"] = f"({','.join(signs)})"
    groups = (params.model_extra or {}).get("interaction_constraints")
    if isinstance(groups, list):
        where = "interaction_constraints"
        positions = [[_position(str(n), names, where) for n in group] for group in groups]
        found[where] = json.dumps(positions)
    return found


def _position(name: str, names: list[str], where: str) -> int:
    if name not in names:
        raise ConfigError(
            f"models.xgboost.{where}: no feature is called {name!r}",
            fix=suggest_or_list(name, names),
        )
    return names.index(name)


def _try(native: Mapping[str, Any], feed: Feed) -> None:
    label = np.arange(max(2, len(feed.target.classes)), dtype="float64")
    x = np.zeros((len(label), len(feed.features)), dtype="float32")
    trial = {**native, "device": "cpu", "nthread": 1, "num_parallel_tree": 1}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            tiny = xgb.QuantileDMatrix(x, label, max_bin=native["max_bin"], nthread=1)
            xgb.train(trial, tiny, 1, evals=[(tiny, "train")], verbose_eval=False)
        except xgb.core.XGBoostError as error:
            raise ConfigError(
                f"models.xgboost: XGBoost refuses it: {summarize_error(error)}"
            ) from None
    for warning in caught:
        if unused := re.search(r"Parameters: \{(.*)\} are not used", str(warning.message)):
            raise ConfigError(
                f"models.xgboost: {unused[1].strip()} has no use with objective "
                f"{native['objective']!r}",
                fix="leave it out",
            )


def _identity(params: XGBoostParams, feed: Feed) -> str:
    facts = [params.model_dump(), [asdict(f) for f in feed.features], asdict(feed.target)]
    return json.dumps([*facts, feed.count_rows("train"), feed.count_rows("valid")], default=str)
