"""The refit stages: features and models once more, on all rows."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.artifacts.stage_id import (
    FEATURES,
    REFIT_FEATURES,
    SPLIT,
    StageId,
    refit_id,
    train_id,
)
from pipeline.cluster import partitions
from pipeline.execution.fingerprints import StageInputs
from pipeline.execution.job import Job, needs_refit
from pipeline.execution.run_state import RunState
from pipeline.execution.stage import Stage, StageRun
from pipeline.execution.stage_cache import Results
from pipeline.execution.stages.features import (
    fit_features,
    rebuild_features,
    restore_features,
    training_parts,
)
from pipeline.execution.stages.split import move_rows
from pipeline.execution.stages.train import keep_model, load_model, model_inputs, train_model
from pipeline.features.auto.choice_file import read_counts
from pipeline.ingest.labels import assign
from pipeline.memory.planner import MemoryPlan


class RefitFeatures(Stage):
    """The stage that fits the chosen ops on all rows."""

    id = REFIT_FEATURES
    uses = (SPLIT,)

    def inputs(self, job: Job, plan: MemoryPlan) -> StageInputs:
        """Return nothing but the features, which have the ops."""
        return StageInputs({}, after=(FEATURES,))

    def applies(self, job: Job, rows: int) -> bool:
        """Return whether the run refits."""
        return needs_refit(job.config, rows)

    def run(self, run: StageRun) -> None:
        """Fit the ops on all rows."""
        choice = run.state.choice
        assert choice is not None, "the ops are not chosen"
        rows = move_rows(run.state.labeled, run.context.device)
        sampled = rows.total
        if rows.plan.train_rate < 1:
            sampled = partitions.reduce_partitions(
                run.context.client,
                training_parts(rows, everything=True),
                assign.count_rows,
                assign.merge_counts,
                rows.context.device,
                rows.context.n_classes,
                rows.context.seed,
                rows.plan.train_rate,
            ).sampled
        counts = {"train": int(sampled), "valid": 0, "test": 0}
        run.results = {"counts": counts}
        run.state.features = fit_features(run, rows, choice, counts, everything=True, last=True)
        run.entry.rows = rows.total

    def restore(self, run: StageRun, results: Results) -> None:
        """Load the fitted ops; make the matrices if a model is refitted."""
        rows = move_rows(run.state.labeled, run.context.device)
        run.state.features = restore_features(
            run,
            rows,
            read_counts(results),
            last=True,
            wanted=run.context.needs_data_of(self.id),
            everything=True,
        )

    def rebuild(self, state: RunState, device: str | None) -> None:
        """Make the matrices of rows that were read once more."""
        rebuild_features(state, device, everything=True)


@dataclass
class RefitModel(Stage):
    """The stage that trains a model on all rows, with the rounds of its first training."""

    model: str
    last: bool
    """No other model trains on the same matrices."""
    uses = (REFIT_FEATURES,)

    @property
    def id(self) -> StageId:
        """The kind and the model."""
        return refit_id(self.model)

    def inputs(self, job: Job, plan: MemoryPlan) -> StageInputs:
        """Return the model's parameters; the first training gives the rounds."""
        upstream = (REFIT_FEATURES, train_id(self.model))
        return StageInputs(model_inputs(job, plan, self.model), after=upstream)

    def applies(self, job: Job, rows: int) -> bool:
        """Return whether the run refits."""
        return needs_refit(job.config, rows)

    def run(self, run: StageRun) -> None:
        """Train the model on all rows."""
        rounds = run.state.rounds[self.model]
        keep_model(run, self.model, train_model(run, self.id, last=self.last, rounds=rounds))
        run.entry.rows = run.state.labeled.total

    def restore(self, run: StageRun, results: Results) -> None:
        """Load the refitted model."""
        keep_model(run, self.model, load_model(run, self.model))
