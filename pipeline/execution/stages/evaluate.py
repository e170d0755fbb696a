"""The last stages of a run: metrics and predictions of the held-out rows, and the saved models."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import __version__
from pipeline.artifacts.files import atomic_write, publish, read_json, write_json, write_manifest
from pipeline.cluster import partitions
from pipeline.config.stored import check_stored
from pipeline.device import Frame, cpu
from pipeline.device.choose import frames_of
from pipeline.evaluate import curves, metrics
from pipeline.evaluate.metrics import ScoredRows
from pipeline.evaluate.stored import metrics_adapter
from pipeline.features.engine import fit
from pipeline.matrix import SetName, Target
from pipeline.memory.planner import release_memory
from pipeline.schema import SET, TRAIN
from pipeline.train import golden, model_io
from pipeline.train.feed import SetScores, score_sets
from pipeline.train.fitted_model import FittedModel
from pipeline.versions import find_versions

if TYPE_CHECKING:
    from pipeline.execution.context import RunContext, StageRun
    from pipeline.execution.stages.features_and_models import FeatureSet
    from pipeline.execution.stages.ingest import LabeledData

EVALUATED = ("metrics.json", "curves.json", "predictions.parquet")
JUDGED: tuple[SetName, ...] = ("valid", "test")
WRITTEN_AT_ONCE = 1 << 17
"""Rows of a row group of predictions.parquet."""
LIBRARIES = (
    "numpy", "pandas", "pyarrow", "dask", "distributed", "scikit-learn", "treelite", "xgboost",
    "xgboost-cpu", "xgboost-cu13", "cudf-cu13", "cuml-cu13", "cudf-cu12", "cuml-cu12",
)  # fmt: skip


def evaluate(
    session: RunContext, rows: LabeledData, built: FeatureSet, models: Mapping[str, FittedModel]
) -> tuple[dict[str, Any], str]:
    """Scores the held-out rows; writes metrics.json, curves.json and predictions.parquet."""
    folder = session.folder / "evaluate"
    with session.stage("evaluate") as doing:
        if doing.kept is not None:
            found = read_json(folder / "metrics.json")
            check_stored(metrics_adapter(), found, folder / "metrics.json")
        else:
            found = _evaluated(session, rows, built, models, doing)
            doing.files = [folder / name for name in EVALUATED]
    return found, metrics.choose_best_model(found)


def _evaluated(
    session: RunContext,
    rows: LabeledData,
    built: FeatureSet,
    models: Mapping[str, FittedModel],
    doing: StageRun,
) -> dict[str, Any]:
    folder, entry = session.folder / "evaluate", doing.entry
    feed = built.feed.to_device(session.device)
    own = scoring(models, feed.device)
    scores = score_sets(feed, JUDGED, {name: model.predict for name, model in own.items()})
    release_memory()
    values = _slices(session, rows)
    sets = {w: _as_scored(_judged(rows, found), values) for w, found in scores.items()}
    found = metrics.collect(rows.target, sets, rows=rows.counts.rows, prior=_prior(rows))
    write_json(folder / "metrics.json", found)
    write_json(folder / "curves.json", curves.collect(rows.target, sets, models, found))
    _write_predictions(session, scores, rows.target)
    entry.rows = sum(rows.counts.rows[which] for which in JUDGED)
    if rows.plan.scored_share < 1:
        kept = sum(len(own.label) for own in sets.values())
        note = f"metrics of a sample of {kept:,} of {entry.rows:,} rows: {rows.plan.short_of}"
        entry.notes.append(note)
        session.warn(note)
    return found


def scoring(models: Mapping[str, FittedModel], device: str) -> dict[str, FittedModel]:
    """The models as they score on that device: as they were trained, if that was there."""
    return {
        name: model if model.device == device else model_io.to_device(model, device)
        for name, model in models.items()
    }


def _judged(rows: LabeledData, scores: SetScores) -> SetScores:
    """The rows that the metrics are computed of: all, or the hash sample that fits."""
    if rows.plan.scored_share >= 1:
        return scores
    bound, seed = int(rows.plan.scored_share * 2**32), rows.context.seed + 2
    parts = range(0, len(scores.ids), WRITTEN_AT_ONCE)
    under = [cpu.hash_ints(scores.ids[i : i + WRITTEN_AT_ONCE], seed) < bound for i in parts]
    kept = np.concatenate(under) if under else np.empty(0, bool)
    by_model = {name: score[kept] for name, score in scores.score.items()}
    weight = None if scores.weight is None else scores.weight[kept]
    return SetScores(scores.ids[kept], scores.label[kept], weight, by_model)


def _prior(rows: LabeledData) -> list[float] | float:
    """What the baseline knows: weight per class, or the mean label, of the training rows."""
    if rows.target.task != "regression":
        return list(rows.counts.classes.values())
    return rows.counts.label / rows.counts.weight


def _as_scored(scores: SetScores, values: pd.DataFrame | None) -> ScoredRows:
    slices: dict[str, Any] = {}
    if values is not None:
        own = values.reindex(scores.ids)
        slices = {str(n): own[n].to_numpy(dtype=object) for n in own.columns}
    return ScoredRows(scores.label, scores.score, scores.weight, slices)


def _slices(session: RunContext, rows: LabeledData) -> pd.DataFrame | None:
    """The columns of ``evaluate.slices`` for the held-out rows, on the host, ids as index."""
    names = list(session.job.config.evaluate.slices)
    if not names:
        return None
    found = partitions.iter_results(
        session.client,
        partitions.map_partitions(rows.parts, held_out_values, names, rows.context.device),
    )
    values: pd.DataFrame = pd.concat(found)
    return values


def held_out_values(frame: Frame, names: list[str], device_name: str) -> pd.DataFrame:
    """Plain host values (object) of the rows that do not train."""
    device = frames_of(device_name)
    held_out = frame[device.to_arrays(frame[SET])[0] != TRAIN]
    host: pd.DataFrame = device.to_host(held_out[names])
    return host.astype(object)


def _write_predictions(
    session: RunContext, scores: Mapping[SetName, SetScores], target: Target
) -> None:
    """A table of the held-out rows: valid, then test, each by row id."""
    writer: Any = None
    path = session.folder / "evaluate" / "predictions.parquet"
    with atomic_write(path) as beside, ExitStack() as opened:
        # test has rows (`split.check_counts`), so the file has its columns
        for which in JUDGED:
            for start in range(0, len(scores[which].ids), WRITTEN_AT_ONCE):
                table = _predictions(which, scores[which], start, target)
                writer = writer or opened.enter_context(pq.ParquetWriter(beside, table.schema))
                writer.write_table(table)


def _predictions(which: SetName, scores: SetScores, start: int, target: Target) -> pa.Table:
    rows = slice(start, start + WRITTEN_AT_ONCE)
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


def label_values(label: np.ndarray, target: Target) -> np.ndarray:
    """Class values for label positions; the label itself for a regression."""
    if target.task == "regression":
        return label
    values: np.ndarray = class_array(target)[label.astype("int64")]
    return values


def class_array(target: Target) -> np.ndarray:
    """The classes as one array of their own type (text as object)."""
    if all(isinstance(c, str) for c in target.classes):
        return np.array(target.classes, dtype=object)
    return np.array(target.classes)


def prediction_columns(score: np.ndarray, target: Target) -> dict[str, np.ndarray]:
    """``prediction``, and for a classification ``p_<class>`` of every class."""
    if target.task == "regression":
        return {"prediction": np.asarray(score, "float64")}
    if target.task == "binary":
        score = np.column_stack([1 - score, score])
    chosen = class_array(target)[metrics.predict_labels(target.task, score)]
    columns = {f"p_{c}": score[:, i] for i, c in enumerate(target.classes)}
    return {"prediction": chosen, **columns}


def save(
    session: RunContext,
    rows: LabeledData,
    built: FeatureSet,
    models: Mapping[str, FittedModel],
    best: str,
) -> None:
    """The plan, the models, golden rows and the manifest: what `predict` needs."""
    folder, config = session.folder, session.job.config
    refitted = built.feed.count_rows("test") == 0
    _publish(session, refitted, list(models))
    if built.golden is not None:
        feed = built.feed.to_device(session.device)
        table = golden.score_rows(scoring(models, feed.device), feed, built.golden)
        with atomic_write(folder / golden.FILE) as beside:
            table.to_parquet(beside, index=False)
    target, keys = rows.target, session.kept.keys
    facts = {
        "format": 1,
        "pipeline": __version__,
        "name": config.name,
        "task": target.task,
        "why": rows.why,
        "target": config.data.target,
        "classes": list(target.classes),
        "models": list(models),
        "best": best,
        "refit": refitted,
        "rows": dict(rows.counts.rows),
        "device": session.job.choice.name,
        "fallbacks": session.ledger.fallbacks,
        "seed": config.seed,
        "keys": {e.stage: keys[e.stage] for e in session.ledger.entries if e.stage in keys},
        "versions": versions(),
        "inputs": [
            {"path": f.path, "bytes": f.size, "fingerprint": f.fingerprint}
            for f in session.job.contract.files
        ],
        "warnings": session.warnings,
    }
    write_manifest(folder, facts)


def _publish(session: RunContext, refitted: bool, models: Sequence[str]) -> None:
    """Makes what the last stages left the run's: their files get a second name."""
    folder, kept = session.folder, session.kept
    for old in (folder / "features", folder / "train"):  # with the segments of what is done
        shutil.rmtree(old, ignore_errors=True)
    (folder / golden.FILE).unlink(missing_ok=True)
    stage = "refit features" if refitted else "features"
    publish(kept.place(stage) / fit.FOLDER, folder / "features")
    for name in models:
        publish(kept.place(f"{'refit' if refitted else 'train'} {name}"), folder / "train")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries a result depends on."""
    own = {"python": platform.python_version(), "pipeline": __version__}
    return own | find_versions(LIBRARIES)
