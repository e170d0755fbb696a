"""Comparison of the same rows on two devices, for `parity`.

It compares rows, sets, folds and columns as read, the matrices of the models, the metrics of models
trained on each device, and the scores of each saved model on both devices.
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

from pipeline.config.cluster import Cluster
from pipeline.config.model import Config, Evaluate
from pipeline.device import dtype_of
from pipeline.device.choose import MODULES, DeviceChoice, choose_device, frames_of
from pipeline.errors import ConfigError, InputError, suggest_or_list
from pipeline.execution.context import Listener
from pipeline.execution.job import prepare_job
from pipeline.execution.stages.save import list_versions
from pipeline.features.registry import dump_op
from pipeline.memory.planner import host_limit
from pipeline.memory.release import freeze_objects
from pipeline.parity.device_run import FOLD, SAMPLE, DeviceRun, start_device_run
from pipeline.parity.differences import CLOSE, EXACT, Check, Rule, pair_rows, to_plain, within
from pipeline.schema import LABEL, SET, SETS, WEIGHT
from pipeline.train import golden, model_io
from pipeline.train.fitted_model import FittedModel
from pipeline.train.model import MODEL_REGISTRY

COMPARED_METRIC: Mapping[str, str] = {
    "binary": "roc_auc", "multiclass": "roc_auc_ovr", "regression": "r2",
}  # fmt: skip
"""The metric that is compared, by task; between 0 and 1 for a useful model."""
ADDED_COLUMNS: Mapping[str, str] = {
    LABEL: "label", SET: "set", WEIGHT: "weight", FOLD: "fold hash", SAMPLE: "sample hash",
}  # fmt: skip
"""Columns that the pipeline adds to those of the data."""


@dataclass(frozen=True)
class ParityReport:
    """The comparison of a config's runs on two devices."""

    name: str
    choices: tuple[DeviceChoice, DeviceChoice]
    rows: Mapping[str, int]
    """Rows per set of the first run."""
    checks: tuple[Check, ...]
    metrics: tuple[Mapping[str, Any], ...]
    """metrics.json of each run."""
    stages: tuple[list[dict[str, Any]], ...]
    """The ledger of each run."""
    seconds: float

    @property
    def failed(self) -> list[Check]:
        """The checks that differ."""
        return [check for check in self.checks if not check.passed]

    def to_json(self) -> dict[str, Any]:
        """Return the report for ``--json`` and the file."""
        return {
            "format": 1,
            "name": self.name,
            "passed": not self.failed,
            "sides": [{"device": c.name, "reason": c.reason} for c in self.choices],
            "rows": dict(self.rows),
            "checks": [
                {**asdict(c), "worst": to_plain(c.worst), "passed": c.passed} for c in self.checks
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
) -> ParityReport:
    """Run the config on both devices, in this process, and compare what they make.

    Args:
        config: as for `run`; its device and cluster are ignored, and nothing is refitted.
        choices: the two devices, as `require_device` returns them.
        folder: for temporary files.
        listener: receives the progress of both runs.

    Raises:
        InputError: config or data are invalid. DeviceError: a device cannot complete a stage.
    """
    started = time.perf_counter()
    listener = listener or Listener()
    # The rows of both runs are in memory at the same time, so each gets half of it.
    memory = config.memory.model_copy(update={"host": host_limit(config.memory) // 2})
    changes = {
        "device": "cpu",
        "cluster": Cluster(dashboard=False),
        "refit": "never",
        "evaluate": Evaluate(),
        "memory": memory,
    }
    job = prepare_job(config.model_copy(update=changes))
    with ExitStack() as stack:
        runs = []
        for number, choice in enumerate(choices, start=1):
            place = folder / f"{number}-{choice.name}"
            started_run = start_device_run(replace(job, choice=choice), place, listener)
            runs.append(stack.enter_context(started_run))
        stack.enter_context(freeze_objects())
        first, second = runs
        # Stage by stage, because each stage releases the data of the one before.
        for run in runs:
            run.read()
        checks = compare_rows(first, second)
        for run in runs:
            run.build_features()
        checks += compare_features(first, second)
        for run in runs:
            run.train()
        checks += [*_compare_metrics(first, second), *_exchange_models(runs, folder)]
        return ParityReport(
            name=config.name,
            choices=choices,
            rows=dict(first.state.labeled.counts.rows),
            checks=tuple(checks),
            metrics=(first.state.metrics, second.state.metrics),
            stages=tuple([asdict(e) for e in run.state.context.ledger.entries] for run in runs),
            seconds=round(time.perf_counter() - started, 3),
        )


def require_device(device: str) -> DeviceChoice:
    """Return the choice of a device that no other one may replace.

    Raises:
        DeviceError: the device is not available; the message has the reason and a fix.
        ConfigError: the device does not exist.
    """
    if device not in MODULES:
        raise ConfigError(f"there is no device {device!r}", fix=suggest_or_list(device, MODULES))
    return choose_device(device) if device == "gpu" else DeviceChoice(device, device, "asked for")


def compare_rows(first: DeviceRun, second: DeviceRun) -> list[Check]:
    """Compare ids, labels, sets and folds; then the columns from which features are made."""
    checks: dict[str, tuple[Check, Rule]] = {}

    def add(a: pd.DataFrame, b: pd.DataFrame) -> None:
        for name in map(str, a.columns):
            if name not in checks:
                rule = CLOSE if dtype_of(a[name]) in ("float64", "float32") else EXACT
                stage = "rows" if name in ADDED_COLUMNS else "columns"
                checks[name] = Check(stage, ADDED_COLUMNS.get(name, name), rule.text), rule
            check, rule = checks[name]
            check.add(a.index.to_numpy(), a[name], b[name], rule)

    unpaired = pair_rows(first.row_frames(), second.row_frames(), add)
    in_order = sorted((check for check, _ in checks.values()), key=lambda c: c.stage != "rows")
    return [_check_ids("rows", unpaired, first.state.labeled.total), *in_order]


def compare_features(first: DeviceRun, second: DeviceRun) -> list[Check]:
    """Compare the ops, the columns of the matrices, and their values."""
    features, others = first.state.fitted_features, second.state.fitted_features
    ops = Check("features", "ops", EXACT.text)
    for i, steps in enumerate(zip_longest(features.plan.steps, others.plan.steps)):
        entries = [None if step is None else dump_op(step.op) for step in steps]
        ops.note(i, *entries, same=entries[0] == entries[1])
    columns = Check("features", "the matrix's columns", EXACT.text)
    for i, pair in enumerate(zip_longest(features.plan.features, others.plan.features)):
        names = [None if f is None else f"{f.name}: {f.kind}" for f in pair]
        columns.note(i, *names, same=names[0] == names[1])
    both = {feature.name for feature in others.plan.features}
    rules = {
        feature.name: CLOSE if feature.kind == "q" else EXACT
        for feature in features.plan.features
        if feature.name in both
    }
    values = {name: Check("features", name, rule.text) for name, rule in rules.items()}

    def add(a: pd.DataFrame, b: pd.DataFrame) -> None:
        for name, check in values.items():
            check.add(a.index.to_numpy(), a[name], b[name], rules[name])

    unpaired = pair_rows(first.matrix_frames(), second.matrix_frames(), add)
    rows = sum(features.feed.count_rows(which) for which in SETS)
    return [ops, columns, _check_ids("features", unpaired, rows), *values.values()]


def _check_ids(stage: str, unpaired: tuple[np.ndarray, np.ndarray], rows: int) -> Check:
    """Return the check that both runs have the same rows."""
    check = Check(stage, "row ids", EXACT.text)
    for ids, is_first in zip(unpaired, (True, False), strict=True):
        for row in ids[:5].tolist():
            check.note(row, row if is_first else None, None if is_first else row, same=False)
    check.compared, check.different = rows, sum(len(ids) for ids in unpaired)
    return check


def _compare_metrics(first: DeviceRun, second: DeviceRun) -> list[Check]:
    """Compare a metric of each model on the test rows."""
    metrics = first.state.metrics, second.state.metrics
    name, checks = COMPARED_METRIC[metrics[0]["task"]], []
    for model in metrics[0]["models"]:
        rule = within(MODEL_REGISTRY[model].parity)
        values = [m["models"].get(model, {}).get("test", {}).get(name) for m in metrics]
        check = Check("metrics", f"{model} {name} on test", rule.text)
        size = None if None in values else abs(values[0] - values[1])
        same = values == [None, None] or (size is not None and size <= rule.absolute)
        check.note(None, *values, same=same)
        check.compared, check.worst = metrics[0]["rows"]["test"], size
        checks.append(check)
    return checks


def _exchange_models(runs: Sequence[DeviceRun], folder: Path) -> list[Check]:
    """Save the models of each run, load them on both devices, and compare their scores."""
    checks = []
    for trained in runs:
        models, features = trained.state.models, trained.state.fitted_features
        table = None
        if features.golden is not None:
            table = golden.score_rows(models, features.feed, features.golden)
        for name, fitted in models.items():
            model_io.save(fitted, folder / "models")
            loaded = [model_io.load(name, folder / "models", run.name) for run in runs]
            what = f"{name} of the {trained.name}"
            if table is not None:
                checks.append(_check_golden_rows(f"{what}: golden rows", loaded, runs, table))
            checks.append(_check_test_rows(f"{what}: test rows", loaded, runs, trained))
    return checks


def _check_golden_rows(
    what: str, models: Sequence[FittedModel], runs: Sequence[DeviceRun], table: pd.DataFrame
) -> Check:
    """Check that a model gives its golden rows the saved scores on both devices."""
    check = Check("models", what, within(golden.TOLERANCE).text)
    for run, fitted in zip(runs, models, strict=True):
        try:
            golden.check({fitted.name: fitted}, table, run.name)
        except InputError as error:
            check.note(None, "as saved", error.message, same=False)
    check.compared = len(table)
    return check


def _check_test_rows(
    what: str, models: Sequence[FittedModel], runs: Sequence[DeviceRun], trained: DeviceRun
) -> Check:
    """Check that a model gives the test rows the same scores on both devices."""
    check = Check("models", what, within(golden.TOLERANCE).text)
    source = frames_of(trained.name)
    for block in trained.state.fitted_features.feed.blocks("test"):
        x, ids = source.to_host(block.x), source.to_host(block.ids)
        scores = []
        for run, fitted in zip(runs, models, strict=True):
            device = frames_of(run.name)
            score = device.to_host(fitted.predict(device.to_device(x)))
            scores.append(np.asarray(score, "float64").reshape(len(ids), -1))
        # Of a multiclass row, only the class whose scores differ most is compared.
        most = np.abs(scores[0] - scores[1]).argmax(axis=1)
        a, b = (pd.Series(score[np.arange(len(ids)), most]) for score in scores)
        # Scores of a regression may be large, so the tolerance grows with them.
        scale = max(1.0, float(np.abs(scores[0]).max(initial=0.0)))
        check.add(ids, a, b, replace(within(golden.TOLERANCE), absolute=golden.TOLERANCE * scale))
    return check
