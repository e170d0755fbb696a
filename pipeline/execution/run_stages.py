"""The stages of a run, in order. A new stage is a module in ``stages/`` and a line here."""

from __future__ import annotations

from pipeline.execution.job import Job
from pipeline.execution.stage import Stage
from pipeline.execution.stages.evaluate import EvaluateModels
from pipeline.execution.stages.features import BuildFeatures
from pipeline.execution.stages.read import ReadData
from pipeline.execution.stages.refit import RefitFeatures, RefitModel
from pipeline.execution.stages.split import SplitRows
from pipeline.execution.stages.train import TrainModel
from pipeline.train.model import sort_for_training


def list_stages(job: Job) -> list[Stage]:
    """Return the stages of the job's run; those that do not apply to its rows are skipped."""
    models = sort_for_training(job.models)
    return [
        ReadData(),
        SplitRows(),
        BuildFeatures(),
        *[TrainModel(name, last=name == models[-1]) for name in models],
        EvaluateModels(),
        RefitFeatures(),
        *[RefitModel(name, last=name == models[-1]) for name in models],
    ]
