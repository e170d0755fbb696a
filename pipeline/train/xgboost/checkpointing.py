"""Boosting in segments of rounds, each a checkpoint that a killed run goes on from.

XGBoost keeps no state of its random numbers, so a run with row or column samples cannot be
resumed to the same model, unless it always trains in the same segments, each with its own seed
(decision 10). Segments end at rounds 25, 50, 100, 200, 400, …
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

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
from pipeline.train.sidecar import MAX_MODEL
from pipeline.train.xgboost.quantile_matrix import summarize_error

FIRST_SEGMENT = 25
STATE = "state.json"
RESCALE = "divide data.weight by its mean, and a target of very large numbers by a unit"

History = dict[str, dict[str, list[float]]]

# Metrics of XGBoost of which more is better; all others are losses.
RISING = ("auc", "aucpr", "pre", "ndcg", "map")


@dataclass(frozen=True)
class BoostingPlan:
    """What is boosted, and when it stops."""

    params: Mapping[str, Any]
    seed: int
    rounds: int
    patience: int
    """Rounds without a better last metric of the valid set; 0: never stop early."""
    identity: str
    """What the model depends on besides; a checkpoint of something else is not gone on from."""

    def key(self) -> str:
        """A hash that a checkpoint must share. Threads and workers may be others by then."""
        params = {name: value for name, value in self.params.items() if name != "nthread"}
        facts = [params, self.seed, self.rounds, self.patience, self.identity]
        text = json.dumps([*facts, xgb.__version__], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class BoostingState:
    """The trees so far."""

    booster: xgb.Booster | None = None
    history: History = field(default_factory=dict)
    segments: int = 0
    done: bool = False

    @property
    def rounds(self) -> int:
        """How many there are."""
        return self.booster.num_boosted_rounds() if self.booster else 0

    def packed(self) -> tuple[bytes, History, int, bool]:
        """What `unpacked` takes; the trees as UBJSON, as a file has them."""
        trees = bytes(self.booster.save_raw("ubj")) if self.booster else b""
        return trees, self.history, self.segments, self.done

    @staticmethod
    def unpacked(trees: bytes, history: History, segments: int, done: bool) -> BoostingState:
        """The inverse of `packed`, in any process."""
        booster = xgb.Booster(model_file=bytearray(trees)) if trees else None
        return BoostingState(booster, history, segments, done)


SaveState = Callable[[BoostingState], None]
"""Takes the trees so far when a segment ends."""


def segment_ends(rounds: int) -> Iterator[int]:
    """25, 50, 100, 200, …, ``rounds``."""
    end = FIRST_SEGMENT
    while end < rounds:
        yield end
        end *= 2
    yield rounds


def find_best_round(history: Mapping[str, Mapping[str, list[float]]]) -> int:
    """The first round (from 0) with the best last metric of the valid set."""
    metric, values = list(history["valid"].items())[-1]
    best = max(values) if _rises(metric) else min(values)
    return values.index(best)


def _rises(metric: str) -> bool:
    return metric.partition("@")[0] in RISING


def boost(
    plan: BoostingPlan, train: xgb.DMatrix, watched: Sequence[tuple[xgb.DMatrix, str]], *,
    start: BoostingState, keep: SaveState, progress: Progress,
) -> Iterator[BoostingState]:  # fmt: skip
    """Boosts segment after segment, from ``start`` on, each of them kept.

    Args:
        watched: sets with their names, whose metrics are told after each round.

    Yields:
        The trees so far, after each segment; the last one has ``done``.
    """
    state, booster = start, None
    matrices = [train, *(matrix for matrix, _ in watched)]
    for number, end in enumerate(segment_ends(plan.rounds)):
        if state.done or number < state.segments:
            continue
        if booster is None or plan.params["device"] != "cpu":
            # A GPU adds up the scores of a loaded model's trees in another order than tree by tree
            booster = xgb.Booster(dict(plan.params), matrices, model_file=state.booster)
        history = deepcopy(state.history)
        with signals.defer_signals():
            _renew(booster, plan, number)
            _grow(
                booster, plan, end, train=train, watched=watched, history=history,
                progress=progress,
            )  # fmt: skip
        done = end == plan.rounds or booster.num_boosted_rounds() < end
        state = BoostingState(booster.reset() if done else booster, history, number + 1, done)
        keep(state)
        yield state


def _renew(booster: xgb.Booster, plan: BoostingPlan, segment: int) -> None:
    """Sets the segment's seed, as if the booster had just been loaded from a checkpoint.

    Its updater has random numbers of its own, which go on from tree to tree: loading the
    configuration makes a new one. What the trees so far predict stays cached, where
    ``xgb.train(xgb_model=...)`` would predict it again for all rows.
    """
    booster.load_config(booster.save_config())
    # XGBoost seeds its generator only when the seed changes, and a loaded model has seed 0: so no
    # segment may have 0, nor its predecessor's.
    booster.set_param({"seed": 1 + (plan.seed + segment) % (2**31 - 1)})


def _grow(
    booster: xgb.Booster, plan: BoostingPlan, end: int, *, train: xgb.DMatrix,
    watched: Sequence[tuple[xgb.DMatrix, str]], history: History, progress: Progress,
) -> None:  # fmt: skip
    """Boosts to round ``end``, unless patience is over, counted across segments."""
    for number in range(booster.num_boosted_rounds(), end):
        try:
            booster.update(train, number)
        except xgb.core.XGBoostError as error:
            if "/objective/" not in str(error):
                raise
            raise DataError(
                f"xgboost cannot train on these labels and weights: {summarize_error(error)}",
                fix=RESCALE,
            ) from None
        if watched:
            _record(history, booster.eval_set(watched, number))
        progress(_line(number + 1, history), number + 1, plan.rounds)
        if signals.received_signal():
            return
        if plan.patience and number - find_best_round(history) >= plan.patience:
            return


def _record(history: History, told: str) -> None:
    """Add what XGBoost reports of a round: ``[7]\ttrain-logloss:0.5\tvalid-logloss:0.6``.

    Raises:
        DataError: a metric is infinite or NaN, so that no round can be told from another.
    """
    for part in told.split("\t")[1:]:
        name, _, value = part.rpartition(":")
        which, _, metric = name.partition("-")
        if not math.isfinite(float(value)):
            raise DataError(f"xgboost: {metric} of the {which} rows is {value}", fix=RESCALE)
        history.setdefault(which, {}).setdefault(metric, []).append(float(value))


def _line(rounds: int, history: History) -> str:
    found = history.get("valid") or history.get("train")
    if not found:
        return f"round {rounds}"
    metric, values = list(found.items())[-1]
    return f"round {rounds}, {'valid' if 'valid' in history else 'train'} {metric} {values[-1]:.5f}"


def save_state(
    plan: BoostingPlan, folder: Path | None, notes: Sequence[str], state: BoostingState
) -> None:
    """Writes a checkpoint of the trees so far in the folder, if there is one.

    Args:
        plan: what is boosted.
        folder: None: nothing is kept.
        notes: what is said of the training so far.
        state: the trees.
    """
    if folder is None:
        return
    trees, history, segments, done = state.packed()
    model = f"rounds-{state.rounds:05d}.ubj"
    with atomic_write(folder / model) as beside:
        beside.write_bytes(trees)
    facts = {"key": plan.key(), "model": model, "segments": segments, "done": done}
    facts |= {"sha256": hashlib.sha256(trees).hexdigest(), "notes": list(notes)}
    write_json(folder / STATE, {**facts, "history": history})
    for old in folder.glob("rounds-*.ubj"):  # the state names the new one: the others are spare
        if old.name != model:
            old.unlink()


def load_state(plan: BoostingPlan, folder: Path | None) -> BoostingState:
    """The trees of the folder's checkpoint, if it has one of this plan, intact; else none."""
    if folder is None or not (folder / STATE).is_file():
        return BoostingState()
    facts = _read_checkpoint(folder)
    if facts.key != plan.key():
        return BoostingState()
    path = folder / Path(facts.model).name
    if not path.is_file() or hash_file(path) != facts.sha256:
        return BoostingState()
    trees = manifest.read_unverified(path, MAX_MODEL)
    if trees and model_integrity.find_booster_fault(trees):
        return BoostingState()
    return BoostingState.unpacked(trees, facts.history, facts.segments, facts.done)


def read_notes(folder: Path | None) -> list[str]:
    """What was said of the training whose checkpoint is the last."""
    assert folder is not None
    return list(_read_checkpoint(folder).notes)


class Checkpoint(StoredObject):
    """What ``state.json`` holds."""

    key: str
    model: Annotated[str, Field(min_length=1)]
    segments: Count
    done: bool
    sha256: Sha256
    notes: list[str]
    history: dict[str, dict[str, list[float]]]


@cache
def _checkpoints() -> TypeAdapter[Checkpoint]:
    return TypeAdapter(Checkpoint)


def _read_checkpoint(folder: Path) -> Checkpoint:
    path = folder / STATE
    return check_stored(_checkpoints(), read_json(path), path)
