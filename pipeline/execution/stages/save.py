"""The end of a run: features, models, golden rows and the manifest, which `predict` needs."""

from __future__ import annotations

import platform
import shutil
import time

from pipeline import __version__
from pipeline.artifacts.files import (
    atomic_write,
    publish,
    write_json,
    write_manifest,
    write_text,
)
from pipeline.artifacts.stage_id import FEATURES, REFIT_FEATURES, refit_id, train_id
from pipeline.execution import chosen_config
from pipeline.execution.run_state import RunState
from pipeline.execution.stages.evaluate import models_on
from pipeline.features import column_summary
from pipeline.features.engine import fit
from pipeline.train import golden
from pipeline.versions import XGBOOST_PACKAGES, find_versions

LIBRARIES = (
    "numpy", "pandas", "pyarrow", "dask", "distributed", "scikit-learn", "treelite",
    *XGBOOST_PACKAGES, "cudf-cu13", "cuml-cu13", "cudf-cu12", "cuml-cu12",
)  # fmt: skip


def save_run(state: RunState, started: float) -> float:
    """Publish what the last stages left, and write the manifest, which marks the run finished.

    Args:
        state: the run's state.
        started: when the run began (`time.perf_counter`).

    Returns:
        The total seconds of the run.
    """
    context, rows, features = state.context, state.labeled, state.fitted_features
    folder, config, cache = context.folder, context.job.config, context.cache
    for old in (folder / "features", folder / "train"):  # also checkpoints of finished stages
        shutil.rmtree(old, ignore_errors=True)
    (folder / golden.FILE).unlink(missing_ok=True)
    # Files are linked, not moved: a resumed run still needs those of the stages, such as the
    # models of the evaluation when a refit has made others.
    stage_id = REFIT_FEATURES if features.everything else FEATURES
    publish(cache.folder_of(stage_id) / fit.FOLDER, folder / "features")
    for name in state.models:
        stage_id = refit_id(name) if features.everything else train_id(name)
        publish(cache.folder_of(stage_id), folder / "train")
    if features.golden is not None:
        feed = features.feed.to_device(context.device)
        table = golden.score_rows(models_on(state.models, feed.device), feed, features.golden)
        with atomic_write(folder / golden.FILE) as beside:
            table.to_parquet(beside, index=False)
    write_json(folder / column_summary.FILE, column_summary.to_json(state.columns, rows.read_rows))
    choice = state.choice
    assert choice is not None, "the features stage has chosen the ops"
    chosen = folder / chosen_config.FILE
    text = chosen_config.make_chosen_config(config, context.job.contract, rows.target, choice.ops)
    write_text(chosen, text)
    keys = {str(stage_id): key for stage_id, key in cache.keys.items()}
    facts = {
        "format": 1,
        "pipeline": __version__,
        "name": config.name,
        "task": rows.target.task,
        "why": rows.why,
        "target": config.data.target,
        "classes": list(rows.target.classes),
        "models": list(state.models),
        "best": state.best,
        "refit": features.everything,
        "rows": dict(rows.counts.rows),
        "device": context.job.choice.name,
        "fallbacks": context.ledger.fallbacks,
        "seed": config.seed,
        "keys": {e.stage: keys[e.stage] for e in context.ledger.entries if e.stage in keys},
        "versions": list_versions(),
        "inputs": [
            {"path": f.path, "bytes": f.size, "fingerprint": f.fingerprint}
            for f in context.job.contract.files
        ],
        "warnings": context.warnings,
    }
    # The manifest has the hash of the ledger, so this is the last moment to write the total.
    total = context.ledger.end(time.perf_counter() - started)
    write_manifest(folder, facts)
    return total


def list_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    return {
        "python": platform.python_version(),
        "pipeline": __version__,
        **find_versions(LIBRARIES),
    }
