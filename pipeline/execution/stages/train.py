"""The training stages: one for each model of the config, on the training rows."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace

from pipeline.artifacts.stage_id import FEATURES, StageId, train_id
from pipeline.execution.fingerprints import Inputs, StageInputs, slice_config, software_inputs
from pipeline.execution.job import Job
from pipeline.execution.stage import Stage, StageRun
from pipeline.execution.stage_cache import Results
from pipeline.memory.planner import MemoryPlan
from pipeline.train import model, model_io
from pipeline.train.fitted_model import FittedModel, TrainingOptions
from pipeline.train.model import MODEL_REGISTRY


@dataclass
class TrainModel(Stage):
    """The stage that trains one model of the config."""

    model: str
    last: bool
    """No other model trains on the same matrices."""
    uses = (FEATURES,)

    @property
    def id(self) -> StageId:
        """The kind and the model."""
        return train_id(self.model)

    def inputs(self, job: Job, plan: MemoryPlan) -> StageInputs:
        """Return the model's parameters, and the rows of a forest that fit."""
        return StageInputs(model_inputs(job, plan, self.model), after=(FEATURES,))

    def run(self, run: StageRun) -> None:
        """Train the model; the number of rounds is kept for a refit."""
        rows, feed = run.state.labeled, run.state.fitted_features.feed
        fitted = train_model(run, self.id, last=self.last)
        run.entry.rows = feed.count_rows("train")
        if rows.plan.train_rate < 1:
            note = (
                f"{self.model} trains on a sample of {feed.count_rows('train'):,} of "
                f"{rows.counts.rows['train']:,} rows: {rows.plan.short_of}"
            )
            run.entry.notes.insert(0, note)
            run.context.warn(note)
        self._keep(run, fitted)

    def restore(self, run: StageRun, results: Results) -> None:
        """Load the trained model."""
        self._keep(run, load_model(run, self.model))

    def _keep(self, run: StageRun, fitted: FittedModel) -> None:
        keep_model(run, self.model, fitted)
        run.state.rounds[self.model] = fitted.rounds


def model_inputs(job: Job, plan: MemoryPlan, name: str) -> Inputs:
    """Return what a training depends on, apart from upstream stages."""
    return {
        "config": slice_config(job.models[name], f"models.{name}"),
        "memory": {"rows of the forest": plan.forest_rows if name == "forest" else None},
        **software_inputs(["numpy", *MODEL_REGISTRY[name].packages]),
    }


def train_model(
    run: StageRun, stage_id: StageId, *, last: bool, rounds: int | None = None
) -> FittedModel:
    """Train a model on the matrices of the run's state, and save it.

    Args:
        last: no other model trains on the same matrices.
        rounds: exactly so many rounds of boosting; None: early stopping decides.

    Returns:
        The model as it is loaded from its files, so that a resumed run has the same.
    """
    context, plan = run.context, run.state.labeled.plan
    name, feed = stage_id.model, run.state.fitted_features.feed.to_device(run.context.device)
    key, slug = context.cache.keys.get(stage_id), stage_id.slug
    checkpoints = context.folder / "train" / "segments"
    run.scratch = checkpoints / (slug if key is None else f"{slug}-{key[:16]}")
    # Checkpoints of another fingerprint are of no use any more.
    for old in checkpoints.glob(f"{slug}*"):
        if old != run.scratch:
            shutil.rmtree(old, ignore_errors=True)
    options = TrainingOptions(
        seed=context.job.config.seed,
        threads=context.threads,
        checkpoint=run.scratch,
        rounds=rounds,
        cache=None if plan.bins == "memory" else context.folder / "tmp" / "bins",
        # Only streamed rows are drawn with a limit: persisted ones are in memory anyway.
        max_rows=None if plan.in_memory else plan.forest_rows,
        progress=context.listener.progress,
    )
    feed = replace(feed, release_after_binning=last)
    fitted = model.train(name, context.job.models[name], feed, options)
    model_io.save(fitted, run.folder)
    run.files = [run.folder / file for file in model_io.file_names(name)]
    run.process_notes += fitted.process_notes
    run.entry.notes += fitted.notes
    return model_io.reload(fitted, run.folder, context.device)


def load_model(run: StageRun, name: str) -> FittedModel:
    """Load the model that an earlier process left in the stage's folder."""
    return model_io.load(name, run.folder, run.context.device, bulk=True)


def keep_model(run: StageRun, name: str, fitted: FittedModel) -> None:
    """Leave a model in the run's state, in the order of the config."""
    models = {**run.state.models, name: fitted}
    run.state.models = {n: models[n] for n in run.context.job.models if n in models}
