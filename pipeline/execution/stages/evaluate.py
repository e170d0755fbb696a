"""The evaluate stage: metrics, curves and predictions of the held-out rows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifacts.files import atomic_write, read_json, write_json
from pipeline.artifacts.stage_id import EVALUATE, FEATURES, SPLIT, train_id
from pipeline.cluster import partitions
from pipeline.config.stored import check_stored
from pipeline.device import Frame, cpu
from pipeline.device.choose import frames_of
from pipeline.evaluate import curves, metrics
from pipeline.evaluate.metrics import ScoredRows
from pipeline.evaluate.predictions import label_values, prediction_columns
from pipeline.evaluate.stored import metrics_adapter
from pipeline.execution.context import RunContext
from pipeline.execution.fingerprints import StageInputs
from pipeline.execution.job import Job, needs_refit
from pipeline.execution.run_state import LabeledData, RunState
from pipeline.execution.stage import Stage, StageRun
from pipeline.matrix import SetName, Target
from pipeline.memory.planner import MemoryPlan, release_memory
from pipeline.schema import SET, TRAIN
from pipeline.train import model_io
from pipeline.train.feed import SetScores, score_sets
from pipeline.train.fitted_model import FittedModel
from pipeline.train.model import sort_for_training

FILES = ("metrics.json", "curves.json", "predictions.parquet")
HELD_OUT: tuple[SetName, ...] = ("valid", "test")
CHUNK_ROWS = 1 << 17
"""Rows of a row group of predictions.parquet."""


class EvaluateModels(Stage):
    """Scores the held-out rows with all models, and finds the best one."""

    id = EVALUATE
    uses = (FEATURES, SPLIT)

    def inputs(self, job: Job, plan: MemoryPlan) -> StageInputs:
        """Return the slices, the models, and the share of rows that fit."""
        config = {"evaluate.slices": list(job.config.evaluate.slices), "models": list(job.models)}
        memory = {"share of the held-out rows": plan.scored_share}
        after = tuple(train_id(name) for name in sort_for_training(job.models))
        return StageInputs({"config": config, "memory": memory}, after)

    def run(self, run: StageRun) -> None:
        """Write metrics.json, curves.json and predictions.parquet."""
        context, state, rows = run.context, run.state, run.state.labeled
        folder = context.folder / "evaluate"
        feed = state.fitted_features.feed.to_device(context.device)
        models = models_on(state.models, feed.device)
        scores = score_sets(feed, HELD_OUT, {n: model.predict for n, model in models.items()})
        release_memory()
        values = _slice_values(context, rows)
        sets = {which: _to_scored(_sample(rows, s), values) for which, s in scores.items()}
        # A baseline has only the training rows: the weight per class, or the mean label.
        prior = (
            rows.counts.label / rows.counts.weight
            if rows.target.task == "regression"
            else list(rows.counts.classes.values())
        )
        result = metrics.collect(rows.target, sets, rows=rows.counts.rows, prior=prior)
        write_json(folder / "metrics.json", result)
        write_json(folder / "curves.json", curves.collect(rows.target, sets, state.models, result))
        _write_predictions(folder / "predictions.parquet", scores, rows.target)
        run.entry.rows = sum(rows.counts.rows[which] for which in HELD_OUT)
        if rows.plan.scored_share < 1:
            sampled = sum(len(scored.label) for scored in sets.values())
            note = f"metrics of a sample of {sampled:,} of {run.entry.rows:,} rows: "
            note += rows.plan.short_of
            run.entry.notes.append(note)
            context.warn(note)
        run.files = [folder / name for name in FILES]
        _keep_metrics(state, result)

    def restore(self, run: StageRun, results: Mapping[str, Any]) -> None:
        """Load the metrics."""
        path = run.context.folder / "evaluate" / "metrics.json"
        result = read_json(path)
        check_stored(metrics_adapter(), result, path)
        _keep_metrics(run.state, result)

    def release(self, state: RunState) -> None:
        """Release features and models if the refit will make others; it needs the rows alone."""
        rows, features = state.labeled, state.features
        if features is not None and needs_refit(state.context.job.config, rows.total):
            features.release(rows)
            state.features, state.models = None, {}


def _keep_metrics(state: RunState, result: dict[str, Any]) -> None:
    state.metrics, state.best = result, metrics.choose_best_model(result)


def models_on(models: Mapping[str, FittedModel], device: str) -> dict[str, FittedModel]:
    """Return the models as they score on a device: as trained, if that was there."""
    return {
        name: model if model.device == device else model_io.to_device(model, device)
        for name, model in models.items()
    }


def _sample(rows: LabeledData, scores: SetScores) -> SetScores:
    """Return the rows that the metrics are computed of: all, or the hash sample that fits."""
    if rows.plan.scored_share >= 1:
        return scores
    limit, seed = int(rows.plan.scored_share * 2**32), rows.context.seed + 2
    starts = range(0, len(scores.ids), CHUNK_ROWS)
    masks = [cpu.hash_ints(scores.ids[i : i + CHUNK_ROWS], seed) < limit for i in starts]
    mask = np.concatenate(masks) if masks else np.empty(0, bool)
    by_model = {name: score[mask] for name, score in scores.score.items()}
    weight = None if scores.weight is None else scores.weight[mask]
    return SetScores(scores.ids[mask], scores.label[mask], weight, by_model)


def _to_scored(scores: SetScores, values: pd.DataFrame | None) -> ScoredRows:
    slices: dict[str, Any] = {}
    if values is not None:
        values = values.reindex(scores.ids)
        slices = {str(n): values[n].to_numpy(dtype=object) for n in values.columns}
    return ScoredRows(scores.label, scores.score, scores.weight, slices)


def _slice_values(context: RunContext, rows: LabeledData) -> pd.DataFrame | None:
    """Return the columns of ``evaluate.slices`` for the held-out rows, with ids as index."""
    names = list(context.job.config.evaluate.slices)
    if not names:
        return None
    parts = partitions.map_partitions(rows.parts, held_out_values, names, rows.context.device)
    values: pd.DataFrame = pd.concat(partitions.iter_results(context.client, parts))
    return values


def held_out_values(frame: Frame, names: list[str], device_name: str) -> pd.DataFrame:
    """Return plain host values (object) of the rows that do not train."""
    device = frames_of(device_name)
    held_out = frame[device.to_arrays(frame[SET])[0] != TRAIN]
    host: pd.DataFrame = device.to_host(held_out[names])
    return host.astype(object)


def _write_predictions(path: Path, scores: Mapping[SetName, SetScores], target: Target) -> None:
    """Write a table of the held-out rows: valid, then test, each by row id."""
    writer: pq.ParquetWriter | None = None
    with atomic_write(path) as beside, ExitStack() as stack:
        # The test set has rows (`split.check_counts`), so the file always gets its columns.
        for which in HELD_OUT:
            for start in range(0, len(scores[which].ids), CHUNK_ROWS):
                table = _prediction_table(which, scores[which], start, target)
                if writer is None:
                    writer = stack.enter_context(pq.ParquetWriter(beside, table.schema))
                writer.write_table(table)


def _prediction_table(which: SetName, scores: SetScores, start: int, target: Target) -> pa.Table:
    rows = slice(start, start + CHUNK_ROWS)
    ids = scores.ids[rows]
    columns: dict[str, Any] = {
        "row": ids,
        "set": pd.Series([which], dtype="str").repeat(len(ids)).array,
        "label": label_values(scores.label[rows], target),
    }
    for name, score in scores.score.items():
        for column, values in prediction_columns(score[rows], target).items():
            columns[f"{name}__{column}"] = values
    return pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False)
