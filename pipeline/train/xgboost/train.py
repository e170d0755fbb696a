"""Train XGBoost on the matrices of a feed, block by block, on the feed's device."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial

import numpy as np
import xgboost as xgb

from pipeline.console.plural import quantify
from pipeline.device.choose import frames_of
from pipeline.errors import ConfigError, suggest_or_list
from pipeline.matrix import Feature, Feed
from pipeline.train.feed import PartitionedFeed
from pipeline.train.fitted_model import FittedModel, TrainingOptions
from pipeline.train.params import NativeParams, XGBoostParams
from pipeline.train.xgboost import checkpointing, distributed, local
from pipeline.train.xgboost.checkpointing import BoostingPlan, BoostingState
from pipeline.train.xgboost.quantile_matrix import summarize_error
from pipeline.train.xgboost.scoring import BoosterScore, compute_importances

# Log loss and squared error stop the training, not AUC: they are proper scores, smooth, defined
# when the valid set has one class, and what the probabilities are for. A user's `eval_metric`
# takes their place.
OBJECTIVES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "binary": (("binary:logistic",), "logloss"),
    "multiclass": (("multi:softprob",), "mlogloss"),
    "regression": (
        ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror",
         "reg:quantileerror", "reg:gamma", "reg:tweedie", "count:poisson"),
        "rmse",
    ),
}  # fmt: skip
"""Allowed objectives, the default first, and the default metric of each task."""


def train(params: XGBoostParams, feed: Feed, options: TrainingOptions) -> FittedModel:
    """Boost until the valid set stops improving, or for exactly ``options.rounds`` rounds.

    The model is the same to the byte however the rows are divided into blocks, for any number of
    threads, and whether or not it was resumed from a checkpoint. On several workers its last bits
    depend on their number.
    """
    stops = bool(options.rounds is None and params.early_stopping and feed.count_rows("valid"))
    inputs: list[object] = [
        params.model_dump(),
        [asdict(f) for f in feed.features],
        asdict(feed.target),
    ]
    inputs += [feed.count_rows("train"), feed.count_rows("valid")]
    plan = BoostingPlan(
        params=make_native_params(params, feed, options.threads),
        seed=options.seed,
        rounds=options.rounds or params.rounds,
        patience=params.early_stopping if stops else 0,
        identity=json.dumps(inputs, default=str),
    )
    notes: list[str] = []
    state = checkpointing.load_state(plan, options.checkpoint)
    resumed = (f"resumed from round {state.rounds} of {plan.rounds}",) if state.segments else ()
    if state.done:
        notes += checkpointing.read_notes(options.checkpoint)
    else:
        save_state = partial(checkpointing.save_state, plan, options.checkpoint, notes)
        boost: Callable[..., BoostingState] = partial(local.boost_locally, cache=options.cache)
        if isinstance(feed, PartitionedFeed) and feed.is_distributed:
            boost = distributed.boost_on_workers
        state = boost(
            params,
            feed,
            plan,
            start=state,
            on_segment=save_state,
            progress=options.progress,
            notes=notes,
        )
    assert state.booster is not None
    booster, rounds = state.booster, state.rounds
    if stops:
        rounds = checkpointing.find_best_round(state.history) + 1
        booster = booster[:rounds]
        notes.append(f"kept {rounds} of {quantify(state.rounds, 'round')}: best on valid")
    if not booster.get_score():
        # XGBoost drops splits that gain less than 1e-6, which is much for targets below 1e-4
        regression = feed.target.task == "regression"
        small = ", or the target's numbers are too small: multiply them" if regression else ""
        notes.append(f"no tree splits, all rows get the same score: no column helps{small}")
    features = tuple(feed.features)
    return FittedModel(
        name="xgboost",
        target=feed.target,
        features=features,
        score=BoosterScore(booster, frames_of(feed.device).name),
        content=booster,
        importances=compute_importances(booster, features),
        rounds=rounds,
        history=state.history,
        notes=tuple(notes),
        device=feed.device,
        details={},
        process_notes=resumed,
    )


def make_native_params(params: XGBoostParams, feed: Feed, threads: int) -> NativeParams:
    """Return the parameters for XGBoost, which has tried them on two rows before the data are read.

    Raises:
        ConfigError: XGBoost rejects one of them, or does not use it for this task.
    """
    allowed, metric = OBJECTIVES[feed.target.task]
    native = {"objective": allowed[0], "eval_metric": metric, **params.native}
    if native["objective"] not in allowed:
        raise ConfigError(
            f"models.xgboost.objective: {native['objective']!r} does not predict what a "
            f"{feed.target.task} target needs",
            fix=f"use one of {', '.join(allowed)}",
        )
    if feed.target.task == "multiclass":
        native["num_class"] = len(feed.target.classes)
    native |= _make_constraints(params, feed.features)
    native |= {"nthread": threads, "device": "cuda" if feed.device == "gpu" else "cpu"}
    _try_on_two_rows(native, feed)
    return native


def _make_constraints(params: XGBoostParams, features: Sequence[Feature]) -> dict[str, str]:
    """Translate the constraints' feature names to XGBoost's positions."""
    names = [feature.name for feature in features]

    def find_position(name: str, parameter: str) -> int:
        if name not in names:
            raise ConfigError(
                f"models.xgboost.{parameter}: no feature is called {name!r}",
                fix=suggest_or_list(name, names),
            )
        return names.index(name)

    constraints = {}
    if params.monotone:
        for name in params.monotone:
            if features[find_position(name, "monotone")].kind == "c":
                raise ConfigError(
                    f"models.xgboost.monotone: {name!r} holds category codes, which have no order",
                    fix="leave it out, or encode the column as numbers",
                )
        signs = (str(params.monotone.get(name, 0)) for name in names)
        constraints["monotone_constraints"] = f"({','.join(signs)})"
    groups = (params.model_extra or {}).get("interaction_constraints")
    if isinstance(groups, list):
        parameter = "interaction_constraints"
        positions = [[find_position(str(name), parameter) for name in group] for group in groups]
        constraints[parameter] = json.dumps(positions)
    return constraints


def _try_on_two_rows(native: NativeParams, feed: Feed) -> None:
    """Train one tree on made-up rows, so that a wrong parameter costs seconds, not hours."""
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
                f"models.xgboost: XGBoost rejects it: {summarize_error(error)}"
            ) from None
    for warning in caught:
        if unused := re.search(r"Parameters: \{(.*)\} are not used", str(warning.message)):
            raise ConfigError(
                f"models.xgboost: {unused[1].strip()} has no use with objective "
                f"{native['objective']!r}",
                fix="leave it out",
            )
