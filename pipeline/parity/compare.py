"""`parity`: the same rows through both devices, and what came out of each compared.

Rows, sets, folds and columns as read; the matrices that the models get; the metrics of models
trained on each; and what a saved model says of the same rows on both, whichever trained it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.model import Cluster, Config, Evaluate
from pipeline.device import dtype_of
from pipeline.device.choose import MODULES, DeviceChoice, choose_device, frames_of
from pipeline.errors import ConfigError, InputError, suggest_or_list
from pipeline.execution.context import Listener
from pipeline.execution.job import prepare_job
from pipeline.execution.stages.save import list_versions
from pipeline.features.registry import dump_op
from pipeline.memory.planner import freeze_objects, host_limit
from pipeline.parity.device_run import FOLD, SAMPLE, DeviceRun, start_device_run
from pipeline.parity.differences import CLOSE, EXACT, Check, Rule, paired, plain, within
from pipeline.schema import LABEL, SET, WEIGHT
from pipeline.train import golden, model_io
from pipeline.train.fitted_model import FittedModel
from pipeline.train.model import MODEL_REGISTRY

JUDGED: Mapping[str, str] = {"binary": "roc_auc", "multiclass": "roc_auc_ovr", "regression": "r2"}
"""The metric of a task that is compared: between 0 and 1 where a model is of use."""
OWN: Mapping[str, str] = {
    LABEL: "label", SET: "set", WEIGHT: "weight", FOLD: "fold hash", SAMPLE: "sample hash",
}  # fmt: skip


@dataclass(frozen=True)
class Parity:
    """What was compared."""

    name: str
    choices: tuple[DeviceChoice, DeviceChoice]
    rows: Mapping[str, int]
    """Per set, on the first side."""
    checks: tuple[Check, ...]
    metrics: tuple[Mapping[str, Any], ...]
    """Each side's metrics.json."""
    stages: tuple[list[dict[str, Any]], ...]
    """Each side's ledger."""
    seconds: float

    @property
    def failed(self) -> list[Check]:
        """The lines that differ."""
        return [check for check in self.checks if not check.passed]

    def to_json(self) -> dict[str, Any]:
        """For ``--json`` and the file."""
        return {
            "format": 1,
            "name": self.name,
            "passed": not self.failed,
            "sides": [{"device": c.name, "reason": c.reason} for c in self.choices],
            "rows": dict(self.rows),
            "checks": [
                {**asdict(c), "worst": plain(c.worst), "passed": c.passed} for c in self.checks
            ],
            "metrics": list(self.metrics),
            "stages": list(self.stages),
            "versions": list_versions(),
            "seconds": self.seconds,
        }


def compare(
    config: Config,
    choices: tuple[DeviceChoice, DeviceChoice],
    folder: Path,
    listener: Listener | None = None,
) -> Parity:
    """Runs the config on both devices, in this process, and compares what they made.

    Args:
        config: as for `run`; its device and cluster are not asked, nothing is refitted.
        choices: the two sides, as `require_device` gives them.
        folder: for files meanwhile, which nobody needs afterwards.
        listener: hears of both sides' stages.

    Raises:
        InputError: config or data are at fault. DeviceError: a device cannot do what it is asked.
    """
    started = time.perf_counter()
    listener = listener or Listener()
    job = prepare_job(_own(config))
    with ExitStack() as stack:
        sides = [
            stack.enter_context(
                start_device_run(
                    replace(job, choice=choice), folder / f"{i}-{choice.name}", listener
                )
            )
            for i, choice in enumerate(choices, start=1)
        ]
        stack.enter_context(freeze_objects())
        checks = _checks(sides, folder)
        first, second = sides
        return Parity(
            config.name, choices, dict(first.state.labeled.counts.rows), tuple(checks),
            (first.state.metrics, second.state.metrics),
            tuple([asdict(e) for e in side.state.context.ledger.entries] for side in sides),
            round(time.perf_counter() - started, 3),
        )  # fmt: skip


def require_device(device: str) -> DeviceChoice:
    """The device, with no other one in its place.

    Raises:
        DeviceError: it is not here; the reason and the fix.
        ConfigError: there is no such device.
    """
    if device not in MODULES:
        raise ConfigError(f"there is no device {device!r}", fix=suggest_or_list(device, MODULES))
    return choose_device(device) if device == "gpu" else DeviceChoice(device, device, "asked for")


def _own(config: Config) -> Config:
    """The config of each side: rows of both are in memory at the same time."""
    memory = config.memory.model_copy(update={"host": host_limit(config.memory) // 2})
    return config.model_copy(
        update={
            "device": "cpu", "cluster": Cluster(dashboard=False), "refit": "never",
            "evaluate": Evaluate(), "memory": memory,
        }
    )  # fmt: skip


def _checks(sides: Sequence[DeviceRun], folder: Path) -> list[Check]:
    """The comparisons, stage by stage; what is compared goes as soon as it may."""
    for side in sides:
        side.read()
    found = _rows(sides)
    for side in sides:
        side.build_features()
    found += _features(sides)
    for side in sides:
        side.train()
    return [*found, *_metrics(sides), *_exchanged(sides, folder)]


def _rows(sides: Sequence[DeviceRun]) -> list[Check]:
    """Ids, labels, sets, folds; then the columns that the features start from."""
    first, second = sides
    known: dict[str, tuple[Check, Rule]] = {}

    def add(a: pd.DataFrame, b: pd.DataFrame) -> None:
        for name in map(str, a.columns):
            if name not in known:
                rule = CLOSE if dtype_of(a[name]) in ("float64", "float32") else EXACT
                stage = "rows" if name in OWN else "columns"
                known[name] = Check(stage, OWN.get(name, name), rule.text), rule
            check, rule = known[name]
            check.add(a.index.to_numpy(), a[name], b[name], rule)

    alone = paired(first.row_frames(), second.row_frames(), add)
    checks = sorted((check for check, _ in known.values()), key=lambda c: c.stage != "rows")
    return [_ids("rows", alone, sum(first.state.labeled.counts.rows.values())), *checks]


def _features(sides: Sequence[DeviceRun]) -> list[Check]:
    """The ops, the columns of the matrices, and their values."""
    first, second = (side.state.fitted_features for side in sides)
    ops = Check("features", "ops", EXACT.text)
    for i, steps in enumerate(zip_longest(first.plan.steps, second.plan.steps)):
        entries = [None if step is None else dump_op(step.op) for step in steps]
        ops.note(i, *entries, same=entries[0] == entries[1])
    columns = Check("features", "the matrix's columns", EXACT.text)
    for i, pair in enumerate(zip_longest(first.plan.features, second.plan.features)):
        names = [None if f is None else f"{f.name}: {f.kind}" for f in pair]
        columns.note(i, *names, same=names[0] == names[1])
    both = {feature.name for feature in second.plan.features}
    rules = {
        feature.name: CLOSE if feature.kind == "q" else EXACT
        for feature in first.plan.features if feature.name in both
    }  # fmt: skip
    values = {name: Check("features", name, rule.text) for name, rule in rules.items()}

    def add(a: pd.DataFrame, b: pd.DataFrame) -> None:
        for name, check in values.items():
            check.add(a.index.to_numpy(), a[name], b[name], rules[name])

    alone = paired(sides[0].matrix_frames(), sides[1].matrix_frames(), add)
    rows = sum(first.feed.count_rows(which) for which in ("train", "valid", "test"))
    return [ops, columns, _ids("features", alone, rows), *values.values()]


def _ids(stage: str, alone: tuple[np.ndarray, np.ndarray], rows: int) -> Check:
    """Whether both sides have the same rows."""
    check = Check(stage, "row ids", EXACT.text, compared=rows)
    for ids, of_first in zip(alone, (True, False), strict=True):
        for row in ids[:5].tolist():
            check.note(row, row if of_first else None, None if of_first else row, same=False)
    check.compared, check.different = rows, sum(len(ids) for ids in alone)
    return check


def _metrics(sides: Sequence[DeviceRun]) -> list[Check]:
    """The judged metric of each model on the test rows."""
    first, second = (side.state.metrics for side in sides)
    name, checks = JUDGED[first["task"]], []
    for model in first["models"]:
        rule = within(MODEL_REGISTRY[model].parity)
        values = [m["models"].get(model, {}).get("test", {}).get(name) for m in (first, second)]
        check = Check("metrics", f"{model} {name} on test", rule.text)
        size = None if None in values else abs(values[0] - values[1])
        same = values == [None, None] or (size is not None and size <= rule.absolute)
        check.note(None, *values, same=same)
        check.compared, check.worst = first["rows"]["test"], size
        checks.append(check)
    return checks


def _exchanged(sides: Sequence[DeviceRun], folder: Path) -> list[Check]:
    """Each side's models, saved, loaded on both devices, and scored there."""
    checks = []
    for trained in sides:
        table = None
        if trained.state.fitted_features.golden is not None:
            table = golden.score_rows(
                trained.state.models,
                trained.state.fitted_features.feed,
                trained.state.fitted_features.golden,
            )
        for name, fitted in trained.state.models.items():
            model_io.save(fitted, folder / "models")
            there = [model_io.load(name, folder / "models", side.name) for side in sides]
            what = f"{name} of the {trained.name}"
            if table is not None:
                checks.append(_golden(f"{what}: golden rows", there, sides, table))
            checks.append(_test_rows(f"{what}: test rows", there, sides, trained))
    return checks


def _golden(
    what: str, models: Sequence[FittedModel], sides: Sequence[DeviceRun], table: pd.DataFrame
) -> Check:
    """Whether a model's golden rows have on both devices the scores that it was saved with."""
    check = Check("models", what, within(golden.TOLERANCE).text)
    for side, fitted in zip(sides, models, strict=True):
        try:
            golden.check({fitted.name: fitted}, table, side.name)
        except InputError as error:
            check.note(None, "as saved", error.message, same=False)
    check.compared = len(table)
    return check


def _test_rows(
    what: str, models: Sequence[FittedModel], sides: Sequence[DeviceRun], trained: DeviceRun
) -> Check:
    """A model's scores of the test rows on both devices: of a row, the class that differs most."""
    check = Check("models", what, within(golden.TOLERANCE).text)
    own = frames_of(trained.name)
    for block in trained.state.fitted_features.feed.blocks("test"):
        x, ids = own.to_host(block.x), own.to_host(block.ids)
        scores = []
        for side, fitted in zip(sides, models, strict=True):
            device = frames_of(side.name)
            found = device.to_host(fitted.predict(device.to_device(x)))
            scores.append(np.asarray(found, "float64").reshape(len(ids), -1))
        most = np.abs(scores[0] - scores[1]).argmax(axis=1)
        a, b = (pd.Series(score[np.arange(len(ids)), most]) for score in scores)
        scale = max(1.0, float(np.abs(scores[0]).max(initial=0.0)))  # of a regression
        check.add(ids, a, b, replace(within(golden.TOLERANCE), absolute=golden.TOLERANCE * scale))
    return check
