"""Boosting in segments of rounds, and the checkpoint after each, from which a killed run resumes.

A model's file does not hold the state of XGBoost's random numbers. A resumed run therefore grows
the same trees only because every run trains in the same segments, each with its own seed. Segments
end at rounds 25, 50, 100, 200, 400, …
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import xgboost as xgb
from pydantic import Field, TypeAdapter

from pipeline.artifacts import manifest
from pipeline.artifacts.files import atomic_write, hash_file, read_json, write_json
from pipeline.artifacts.manifest_model import Sha256
from pipeline.config.stored import Count, StoredObject, check_stored
from pipeline.console import signals
from pipeline.errors import DataError
from pipeline.train import model_integrity
from pipeline.train.fitted_model import Progress
from pipeline.train.params import NativeParams
from pipeline.train.sidecar import MAX_MODEL
from pipeline.train.xgboost.quantile_matrix import summarize_error
from pipeline.versions import has_change

FIRST_SEGMENT = 25
STATE = "state.json"
RESCALE = "divide data.weight by its mean, and a target of very large numbers by a unit"
HIGHER_IS_BETTER = ("auc", "aucpr", "pre", "ndcg", "map")
"""Metrics of XGBoost that are not losses."""

History = dict[str, dict[str, list[float]]]
"""Set → metric → value per round."""


@dataclass(frozen=True)
class BoostingPlan:
    """The parameters of a boosting, and when it stops."""

    params: NativeParams
    seed: int
    rounds: int
    patience: int
    """Rounds without a better last metric of the valid set; 0: never stop early."""
    identity: str
    """Everything else that the model depends on; a checkpoint with another one is not used."""

    def key(self) -> str:
        """Hash what a checkpoint must share to be resumed."""
        # The model is the same for any number of threads and workers, so they may change.
        params = {name: value for name, value in self.params.items() if name != "nthread"}
        parts = [params, self.seed, self.rounds, self.patience, self.identity]
        text = json.dumps([*parts, xgb.__version__], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


PackedState = tuple[bytes, History, int, bool]


@dataclass
class BoostingState:
    """The trees so far."""

    booster: xgb.Booster | None = None
    history: History = field(default_factory=dict)
    segments: int = 0
    done: bool = False

    @property
    def rounds(self) -> int:
        """The number of rounds so far."""
        return self.booster.num_boosted_rounds() if self.booster else 0

    def pack(self) -> PackedState:
        """Return the state as plain values, the trees as UBJSON, as `unpack` takes them."""
        trees = bytes(self.booster.save_raw("ubj")) if self.booster else b""
        return trees, self.history, self.segments, self.done

    @staticmethod
    def unpack(trees: bytes, history: History, segments: int, done: bool) -> BoostingState:
        """Rebuild a packed state, in any process."""
        booster = xgb.Booster(model_file=bytearray(trees)) if trees else None
        return BoostingState(booster, history, segments, done)


OnSegment = Callable[[BoostingState], None]
"""Callback with the trees so far, at the end of each segment."""


def segment_ends(rounds: int) -> Iterator[int]:
    """Yield the rounds after which segments end: 25, 50, 100, 200, …, ``rounds``."""
    end = FIRST_SEGMENT
    while end < rounds:
        yield end
        end *= 2
    yield rounds


def find_best_round(history: Mapping[str, Mapping[str, list[float]]]) -> int:
    """Return the first round (from 0) with the best last metric of the valid set."""
    metric, values = list(history["valid"].items())[-1]
    choose = max if metric.partition("@")[0] in HIGHER_IS_BETTER else min
    return values.index(choose(values))


def boost(
    plan: BoostingPlan,
    train: xgb.DMatrix,
    watched: Sequence[tuple[xgb.DMatrix, str]],
    *,
    start: BoostingState,
    on_segment: OnSegment,
    progress: Progress,
) -> Iterator[BoostingState]:
    """Boost segment after segment, beginning at ``start``.

    Args:
        plan: the parameters, and when to stop.
        train: the training rows.
        watched: sets with their names, whose metrics are computed after each round.
        start: the trees that exist already.
        on_segment: called with the trees so far when a segment ends.
        progress: called after each round.

    Yields:
        The trees so far, after each segment; the last one has ``done``.
    """
    state, booster = start, None
    matrices = [train, *(matrix for matrix, _ in watched)]
    for number, end in enumerate(segment_ends(plan.rounds)):
        if state.done or number < state.segments:
            continue
        if booster is None or plan.params["device"] != "cpu":
            # A GPU sums the scores of a loaded model's trees in another order than tree by tree.
            # It reloads after every segment, so that a resumed run is the same to the bit.
            booster = xgb.Booster(dict(plan.params), matrices, model_file=state.booster)
        history = deepcopy(state.history)
        with signals.defer_signals():
            if not has_change("updaters_share_rng", xgb.__version__):
                # Loading the configuration makes a new updater, as after a checkpoint. The
                # predictions so far stay cached, where `xgb.train(xgb_model=...)` would compute all
                # of them again.
                booster.load_config(booster.save_config())
            # XGBoost seeds its generator only when the seed changes, and a loaded model has seed 0:
            # so no segment may have 0, nor its predecessor's.
            booster.set_param({"seed": 1 + (plan.seed + number) % (2**31 - 1)})
            _grow(
                booster,
                plan,
                end,
                train=train,
                watched=watched,
                history=history,
                progress=progress,
            )
        done = end == plan.rounds or booster.num_boosted_rounds() < end
        state = BoostingState(booster.reset() if done else booster, history, number + 1, done)
        on_segment(state)
        yield state


def _grow(
    booster: xgb.Booster,
    plan: BoostingPlan,
    end: int,
    *,
    train: xgb.DMatrix,
    watched: Sequence[tuple[xgb.DMatrix, str]],
    history: History,
    progress: Progress,
) -> None:
    """Boost to round ``end``, unless patience, counted across segments, runs out before."""
    for number in range(booster.num_boosted_rounds(), end):
        try:
            booster.update(train, number)
        except xgb.core.XGBoostError as error:
            # Only the objective's own errors are about the user's labels and weights.
            if "/objective/" not in str(error):
                raise
            raise DataError(
                f"xgboost cannot train on these labels and weights: {summarize_error(error)}",
                fix=RESCALE,
            ) from None
        if watched:
            _record_metrics(history, booster.eval_set(watched, number))
        shown = f"round {number + 1}"
        # of several metrics the last is shown, which also decides when to stop
        which = "valid" if history.get("valid") else "train"
        if metrics := history.get(which):
            metric, values = list(metrics.items())[-1]
            shown += f", {which} {metric} {values[-1]:.5f}"
        progress(shown, number + 1, plan.rounds)
        if signals.received_signal():
            return
        if plan.patience and number - find_best_round(history) >= plan.patience:
            return


def _record_metrics(history: History, report: str) -> None:
    """Append what XGBoost reports on a round: ``[7]\ttrain-logloss:0.5\tvalid-logloss:0.6``.

    Raises:
        DataError: a metric is infinite or NaN, so that rounds cannot be compared.
    """
    for part in report.split("\t")[1:]:
        name, _, value = part.rpartition(":")
        which, _, metric = name.partition("-")
        if not math.isfinite(float(value)):
            raise DataError(f"xgboost: {metric} of the {which} rows is {value}", fix=RESCALE)
        history.setdefault(which, {}).setdefault(metric, []).append(float(value))


class Checkpoint(StoredObject):
    """The contents of ``state.json``."""

    key: str
    model: Annotated[str, Field(min_length=1)]
    segments: Count
    done: bool
    sha256: Sha256
    notes: list[str]
    history: dict[str, dict[str, list[float]]]


def save_state(
    plan: BoostingPlan, folder: Path | None, notes: Sequence[str], state: BoostingState
) -> None:
    """Write a checkpoint of the trees so far.

    Args:
        plan: the plan, whose key the checkpoint holds.
        folder: the folder for it; None: write nothing.
        notes: the notes on the training so far.
        state: the trees.
    """
    if folder is None:
        return
    trees, history, segments, done = state.pack()
    model = f"rounds-{state.rounds:05d}.ubj"
    with atomic_write(folder / model) as beside:
        beside.write_bytes(trees)
    facts = {"key": plan.key(), "model": model, "segments": segments, "done": done}
    facts |= {"sha256": hashlib.sha256(trees).hexdigest(), "notes": list(notes)}
    write_json(folder / STATE, {**facts, "history": history})
    # Only now does the state name the new model: until here a kill leaves the old pair intact.
    for old in folder.glob("rounds-*.ubj"):
        if old.name != model:
            old.unlink()


def load_state(plan: BoostingPlan, folder: Path | None) -> BoostingState:
    """Load the trees of the folder's checkpoint, or none if it is not intact and of this plan."""
    if folder is None or not (folder / STATE).is_file():
        return BoostingState()
    checkpoint = _read_checkpoint(folder)
    path = folder / Path(checkpoint.model).name
    if checkpoint.key != plan.key() or not path.is_file() or hash_file(path) != checkpoint.sha256:
        return BoostingState()
    trees = manifest.read_unverified(path, MAX_MODEL)
    # The hash only says that state and model belong together: both may have been replaced.
    if trees and model_integrity.find_booster_fault(trees):
        return BoostingState()
    return BoostingState.unpack(trees, checkpoint.history, checkpoint.segments, checkpoint.done)


def read_notes(folder: Path | None) -> list[str]:
    """Read the notes of the training that the folder's checkpoint ended."""
    assert folder is not None
    return list(_read_checkpoint(folder).notes)


def _read_checkpoint(folder: Path) -> Checkpoint:
    path = folder / STATE
    return check_stored(TypeAdapter(Checkpoint), read_json(path), path)
