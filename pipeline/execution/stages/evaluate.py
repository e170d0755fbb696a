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
from pipeline.evaluate import curves, metrics, run_warnings
from pipeline.evaluate.metrics import ScoredRows
from pipeline.evaluate.predictions import label_values, prediction_columns
from pipeline.evaluate.stored import metrics_adapter
from pipeline.execution.fingerprints import StageInputs
from pipeline.execution.job import Job, needs_refit
from pipeline.execution.run_facts import collect_facts
from pipeline.execution.run_state import LabeledData, RunState
from pipeline.execution.stage import Stage, StageRun
from pipeline.execution.stage_cache import Results
from pipeline.matrix import SetName, Target
from pipeline.memory.planner import MemoryPlan
from pipeline.memory.release import release_memory
from pipeline.schema import SET, TRAIN
from pipeline.train import model_io
from pipeline.train.feed import SetScores, score_sets
from pipeline.train.fitted_model import FittedModel
from pipeline.train.model import sort_for_training

WARNINGS = "warnings.json"
FILES = ("metrics.json", "curves.json", "predictions.parquet", WARNINGS)
HELD_OUT: tuple[SetName, ...] = ("valid", "test")
CHUNK_ROWS = 1 << 17
"""Rows of a row group of predictions.parquet at most."""
CHUNK_VALUES = 1 << 21
"""Scores of a row group at most, which are copied twice while it is written."""


class EvaluateModels(Stage):
    """The stage that scores the held-out rows with all models and finds the best one."""

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
        names, values = list(context.job.config.evaluate.slices), None
        if names:
            parts = partitions.map_partitions(
                rows.parts, held_out_values, names, rows.context.device
            )
            values = pd.concat(partitions.iter_results(context.client, parts))
        sets = {which: _sample(rows, own_scores, values) for which, own_scores in scores.items()}
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
        _keep_metrics(state, result)
        facts = collect_facts(state, feed, sets, prior)
        state.warnings = run_warnings.find_warnings(facts)
        write_json(folder / WARNINGS, run_warnings.to_json(state.warnings))
        run.files = [folder / name for name in FILES]

    def restore(self, run: StageRun, results: Results) -> None:
        """Load the metrics and the warnings."""
        folder = run.context.folder / "evaluate"
        path = folder / "metrics.json"
        result = read_json(path)
        check_stored(metrics_adapter(), result, path)
        _keep_metrics(run.state, result)
        path = folder / WARNINGS
        if path.exists():  # a run of an older version has none
            run.state.warnings = run_warnings.from_json(read_json(path), path)

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


def _sample(rows: LabeledData, scores: SetScores, values: pd.DataFrame | None) -> ScoredRows:
    """Return the rows that the metrics are computed of: all, or the hash sample that fits.

    Args:
        values: the columns of ``evaluate.slices``, with ids as index.
    """
    ids, label, weight, by_model = scores.ids, scores.label, scores.weight, scores.score
    if rows.plan.scored_share < 1:
        limit, seed = int(rows.plan.scored_share * 2**32), rows.context.seed + 2
        starts = range(0, len(ids), CHUNK_ROWS)
        masks = [cpu.hash_ints(ids[i : i + CHUNK_ROWS], seed) < limit for i in starts]
        mask = np.concatenate(masks) if masks else np.empty(0, bool)
        by_model = {name: score[mask] for name, score in by_model.items()}
        ids, label = ids[mask], label[mask]
        weight = None if weight is None else weight[mask]
    slices: dict[str, Any] = {}
    if values is not None:
        values = values.reindex(ids)
        slices = {str(n): values[n].to_numpy(dtype=object) for n in values.columns}
    return ScoredRows(label, by_model, weight, slices)


def held_out_values(frame: Frame, names: list[str], device_name: str) -> pd.DataFrame:
    """Return plain host values (object) of the rows that do not train."""
    device = frames_of(device_name)
    held_out = frame[device.to_arrays(frame[SET])[0] != TRAIN]
    host: pd.DataFrame = device.to_host(held_out[names])
    return host.astype(object)


def _write_predictions(path: Path, scores: Mapping[SetName, SetScores], target: Target) -> None:
    """Write a table of the held-out rows: valid, then test, each by row id."""
    writer: pq.ParquetWriter | None = None
    by_model = scores["test"].score.values()
    width = sum(score.shape[1] if score.ndim == 2 else 1 for score in by_model)
    chunk = min(CHUNK_ROWS, max(1, CHUNK_VALUES // max(width, 1)))
    with atomic_write(path) as beside, ExitStack() as stack:
        # The test set has rows (`split.check_counts`), so the file always gets its columns.
        for which in HELD_OUT:
            for start in range(0, len(scores[which].ids), chunk):
                rows = slice(start, start + chunk)
                ids = scores[which].ids[rows]
                columns: dict[str, Any] = {
                    "row": ids,
                    "set": pd.Series([which], dtype="str").repeat(len(ids)).array,
                    "label": label_values(scores[which].label[rows], target),
                }
                for name, score in scores[which].score.items():
                    for column, values in prediction_columns(score[rows], target).items():
                        columns[f"{name}__{column}"] = values
                table = pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False)
                if writer is None:
                    writer = stack.enter_context(pq.ParquetWriter(beside, table.schema))
                writer.write_table(table)
