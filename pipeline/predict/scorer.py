"""A finished run as a function from new rows to predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.artifacts import manifest as sealed
from pipeline.artifacts.manifest import VerifiedRun
from pipeline.config.loader import parse_yaml_bytes
from pipeline.config.model import Config
from pipeline.config.stored import misfit_error
from pipeline.device.choose import DeviceChoice, choose_device, frames_of
from pipeline.errors import InputError, suggest_or_list
from pipeline.evaluate.predictions import prediction_columns
from pipeline.expression import parse
from pipeline.features.engine import fit, transform
from pipeline.features.engine.fit import FittedPlan
from pipeline.features.engine.transform import TransformContext
from pipeline.ingest import arrow_input, pandas_input
from pipeline.ingest.labels.assign import evaluate_filter
from pipeline.train import golden, model_io
from pipeline.train.fitted_model import FittedModel
from pipeline.train.model import MODEL_REGISTRY

if TYPE_CHECKING:
    from pipeline.device import Frame

BLOCK_ROWS = 1 << 18
"""Rows of an Arrow stream that are scored at a time."""


@dataclass(frozen=True, repr=False)
class Scorer:
    """The features and one model of a finished run, ready to score rows.

    Example: ``Scorer.load("data/runs/flights-…").predict(frame)``.
    """

    run: Path
    plan: FittedPlan
    model: FittedModel
    manifest: Mapping[str, Any]
    context: TransformContext
    choice: DeviceChoice
    """The device that scores the rows, wherever the models were trained."""

    @staticmethod
    def load(run: str | Path, model: str = "best", device: str = "cpu") -> Scorer:
        """Open a run folder: check hashes, load plan and model, and score the golden rows.

        Args:
            run: the folder, or a model's file in its ``train/``.
            model: "best", or the name of one of its models.
            device: "cpu", "gpu" or "auto" (the GPU if there is one that works).

        Raises:
            InputError: no run there, no manifest, a file altered, no such model, trees that are
                malformed, scores that differ.
            DeviceError: ``device="gpu"``, and it cannot.
        """
        folder, model = _find_run(Path(run).expanduser(), model)
        return open_scorer(sealed.open_finished_run(folder), model).on(choose_device(device))

    def on(self, choice: DeviceChoice) -> Scorer:
        """Return this scorer on another device, where the golden rows are scored once more.

        Raises:
            DeviceError: the device cannot score the model. InputError: the scores differ there.
        """
        if choice.name == self.choice.name:
            return replace(self, choice=choice)
        fitted = _load_model(VerifiedRun(self.run, self.manifest), self.model.name, choice.name)
        context = replace(self.context, device=choice.name)
        return replace(self, model=fitted, context=context, choice=choice)

    def with_tables(self, tables: Mapping[str, pd.DataFrame]) -> Scorer:
        """Return this scorer with newer side tables: host frames with ``attrs["keys"]``.

        Raises:
            InputError: the run joins no table of that name.
        """
        joined = {name for step in self.plan.steps for name in step.op.tables()}
        for name in tables:
            if name not in joined:
                raise InputError(
                    f"--table {name}: the run joins no such table",
                    fix=suggest_or_list(name, joined),
                )
        steps = tuple(
            replace(step, state={**step.state, **step.op.prepare(step.schema, tables)})
            if set(step.op.tables()) & set(tables)
            else step
            for step in self.plan.steps
        )
        return replace(self, plan=replace(self.plan, steps=steps))

    @property
    def columns(self) -> list[str]:
        """The columns that new data must have."""
        return self.plan.needed

    @property
    def importances(self) -> pd.Series:
        """Each feature's share of the gain of the model's splits (float64), the largest first."""
        shares = pd.Series(self.model.importances, dtype="float64", name="importance")
        return shares.sort_values(ascending=False, kind="stable")

    def __repr__(self) -> str:
        return (
            f"Scorer(run={str(self.run)!r}, model={self.model.name!r}, device={self.choice.name!r})"
        )

    @property
    def needs_all_rows(self) -> bool:
        """True if rows depend on each other (lag), so that all must be scored at once."""
        return any(step.op.regroup_by() is not None for step in self.plan.steps)

    def predict(self, frame: Any) -> pd.DataFrame:
        """Return predictions for a frame, one per row.

        Args:
            frame: a pandas or cuDF frame, or any object with ``__arrow_c_stream__`` (Polars,
                pyarrow, …), which is scored in blocks unless rows depend on each other.

        Returns:
            ``prediction``, and ``p_<class>`` (float64) for a classification; null where a filter
            of the run would have dropped the row. The index is that of a pandas frame.

        Raises:
            SchemaError: it is not a frame, or a column is missing or of another type.
            DataError: a bad value; the message names row and column.
        """
        schema = self.plan.source.select(self.columns)
        device = frames_of(self.context.device)
        if hasattr(frame, "iloc"):  # pandas, or cuDF
            to_pandas = getattr(frame, "to_pandas", None)
            frames: Iterable[pd.DataFrame] = [frame if to_pandas is None else to_pandas()]
        else:
            rows = None if self.needs_all_rows else BLOCK_ROWS
            frames = arrow_input.iter_pandas(frame, schema, rows)
        scored = []
        for block in frames:
            storage = pandas_input.from_pandas(block, schema)
            predictions = self.predict_storage(device.to_device(storage))
            predictions.index = block.index
            scored.append(predictions)
        return scored[0] if len(scored) == 1 else pd.concat(scored)

    def predict_storage(self, frame: Frame) -> pd.DataFrame:
        """Return predictions for a frame in storage dtypes, whose index has the row ids."""
        device = frames_of(self.context.device)
        frame = self._with_target_columns(frame)
        keep = device.xp.ones(len(frame), dtype=bool)
        for text in self.plan.filters:
            expression = parse(text)
            if not set(expression.columns) & self.plan.source.target:
                keep = keep & evaluate_filter(frame, expression, device)
        rows = len(frame)
        at = np.flatnonzero(device.to_host(keep))
        if len(at) < rows:
            # As in the run, ops after the filter, such as a lag, do not see these rows.
            frame = frame[keep]
        x, _ = transform.build_scoring_matrix(
            frame, self.plan.steps, self.plan.features, self.context
        )
        score = np.asarray(device.to_host(self.model.predict(x)))
        predictions = pd.DataFrame(prediction_columns(score, self.model.target))
        if len(at) < rows:
            predictions.index = at
            predictions = predictions.reindex(range(rows))
        return predictions

    def _with_target_columns(self, frame: Frame) -> Frame:
        """Add the target's columns, all missing, if a lag of them continues a series."""
        device = frames_of(self.context.device)
        source, present = self.plan.source, set(frame.columns)
        read = {n for s in self.plan.steps for n in s.op.reads(s.schema)}
        absent = [c for c in source if c.name in (source.target & read) - present]
        added = {}
        for column in absent:
            zeros = device.xp.zeros(len(frame), dtype="int64")
            missing = device.xp.ones(len(frame), dtype=bool)
            added[column.name] = (
                device.make_text(zeros.astype("int32") - 1, np.array([], dtype=object))
                if column.dtype == "text"
                else device.make_series(zeros, column.dtype, missing)
            )
            added[column.name].index = frame.index
        return frame.assign(**added)


def _choose_model(model: str, manifest: Mapping[str, Any]) -> str:
    name = manifest["best"] if model == "best" else model
    if name not in manifest["models"]:
        names = ["best", *manifest["models"]]
        raise InputError(f"the run has no model {model!r}", fix=suggest_or_list(model, names))
    return str(name)


def _find_run(path: Path, model: str) -> tuple[Path, str]:
    """Return the run folder and the model; for a model's file, those that it belongs to."""
    names = {entry.file: name for name, entry in MODEL_REGISTRY.items()}
    if path.parent.name == "train" and path.name in names and path.is_file():
        return path.parent.parent, names[path.name]
    return path, model


def open_scorer(run: VerifiedRun, model: str) -> Scorer:
    """Open the scorer of a run on the CPU; see `Scorer.load`."""
    with sealed.report_misfits(run.run):
        manifest, features = run.manifest, run.run / "features"
        name = _choose_model(model, manifest)
        fitted = _load_model(run, name, "cpu")
        classes = len(manifest["classes"])
        context = TransformContext(
            "cpu", manifest["seed"], manifest["task"], classes, predicting=True
        )
        plan = fit.load(features, run.read)
        _check_together(run, fitted, plan)
        return Scorer(run.run, plan, fitted, manifest, context, choose_device("cpu"))


def _load_model(run: VerifiedRun, name: str, device: str) -> FittedModel:
    """Load the model on a device, and check that the golden rows get the saved scores there."""
    fitted = model_io.load(name, run.run / "train", device, run.read)
    if golden.FILE in run.files:
        rows = read_config(run).golden
        table = golden.load_scored(run.run / golden.FILE, rows, fitted, run.read)
        golden.check({name: fitted}, table, device)
    return fitted


def read_config(run: VerifiedRun) -> Config:
    """Return the run's config.

    Raises:
        InputError: the file was altered, or is not a config.
    """
    path = run.run / "config.yaml"
    return Config.parse(parse_yaml_bytes(run.read(path), path))


def _check_together(run: VerifiedRun, fitted: FittedModel, plan: FittedPlan) -> None:
    """Check that the model is one of the plan's features and the manifest's target.

    Raises:
        InputError: it is of another run; names the file.
    """
    path = run.run / "train" / f"{fitted.name}.json"
    wanted = run.manifest["task"], list(map(repr, run.manifest["classes"]))
    if (fitted.target.task, list(map(repr, fitted.target.classes))) != wanted:
        raise misfit_error(path, "classes", "task and classes must be those of manifest.json")
    if [(f.name, f.kind) for f in fitted.features] != [(f.name, f.kind) for f in plan.features]:
        raise misfit_error(path, "features", "must be those of features/plan.json")
