"""The data that the stages of a run hand to one another, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.cluster.partitions import Partitions
from pipeline.device import Frame
from pipeline.evaluate.run_warnings import RunWarning
from pipeline.execution.context import RunContext
from pipeline.features.column_summary import ColumnSummary
from pipeline.features.engine.fit import FittedPlan
from pipeline.features.engine.transform import TransformContext
from pipeline.features.op import Op
from pipeline.ingest.blocks import BlockGroup
from pipeline.ingest.labels.assign import LabelSpec
from pipeline.ingest.labels.label_state import LabelCounts
from pipeline.ingest.labels.split import Cuts
from pipeline.matrix import Target
from pipeline.memory.planner import MemoryPlan
from pipeline.schema import Schema
from pipeline.train.feed import PartitionedFeed, PersistedMatrices
from pipeline.train.fitted_model import FittedModel


@dataclass(frozen=True)
class RawData:
    """The data as read, in partitions of frames."""

    parts: Partitions
    device: str
    """The device that reads the files and has the frames."""
    total: int
    """Number of rows."""
    plan: MemoryPlan


@dataclass(frozen=True)
class LabeledData:
    """Rows with label, set and weight, in partitions of frames."""

    parts: Partitions
    source: Schema
    """All columns of the data; the frames have only those that the job keeps."""
    meta: Frame
    """A frame like those of the partitions, without rows."""
    target: Target
    why: str
    """The reason for the target's task."""
    counts: LabelCounts
    context: TransformContext
    """Its device has the frames."""
    plan: MemoryPlan
    spec: LabelSpec
    """With `target` and `cuts`, all that is needed to make the partitions from raw data."""
    cuts: Cuts | None
    target_missing: int
    """Rows that were dropped because their target is missing."""
    read_on: str
    """The device that reads the files."""
    read_rows: int = 0
    """Number of rows that were read, those without a target among them."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """Missing values by column, among the rows that were read."""

    @property
    def total(self) -> int:
        """Number of rows in all sets."""
        return sum(self.counts.rows.values())


@dataclass(frozen=True)
class FeatureChoice:
    """The ops of a run, as configured or as chosen from the training rows."""

    ops: Sequence[Op]
    left_out: Mapping[str, str]
    """Columns that the models do not see, with the reason."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Description of the data by column that stays, if the ops were chosen."""
    free_text: Mapping[str, str] = field(default_factory=dict)
    """Columns of free text whose words the models do not see, and what became of each."""


@dataclass(frozen=True)
class FeatureSet:
    """FittedModel features and the matrices that they make of the rows."""

    plan: FittedPlan
    feed: PartitionedFeed
    golden: np.ndarray | None
    """`golden.choose_rows`, drawn while there are training rows; None: the config wants none."""
    parts: Partitions
    """The frames from which the matrices are made, before the steps that remain."""
    everything: bool
    """All rows train, as in the refit."""
    last: bool
    """No later stage needs the rows' frames, so the matrices take their place."""

    def release(self, rows: LabeledData | None = None) -> None:
        """Release the matrices and the frames behind them, but not the frames of ``rows``."""
        if rows is None or self.parts.items is not rows.parts.items:
            self.parts.release()
        if isinstance(self.feed.parts, PersistedMatrices):
            self.feed.parts.parts.release()


@dataclass
class RunState:
    """Results of the stages so far, on which later ones work."""

    context: RunContext
    parts: Sequence[BlockGroup] = ()
    """The parts of the input that are read at a time, by the memory plan."""
    plan: MemoryPlan | None = None
    """The memory plan of the read stage."""
    raw: RawData | None = None
    """The data as read, until there are `rows`."""
    rows: LabeledData | None = None
    choice: FeatureChoice | None = None
    features: FeatureSet | None = None
    models: dict[str, FittedModel] = field(default_factory=dict)
    """The trained models, in the order of the config."""
    rounds: dict[str, int] = field(default_factory=dict)
    """Rounds that each model's training found; the refit uses as many."""
    metrics: dict[str, Any] = field(default_factory=dict)
    best: str = ""
    """The model with the best primary metric."""
    columns: Sequence[ColumnSummary] = ()
    """Summaries of the columns: type as read, missing values, use."""
    warnings: Sequence[RunWarning] = ()
    """Warnings about the result of the evaluation."""
    stale: bool = False
    """The data were released and could not be rebuilt."""

    @property
    def labeled(self) -> LabeledData:
        """The labeled rows, in a stage after the split."""
        assert self.rows is not None, "the split has not run"
        return self.rows

    @property
    def fitted_features(self) -> FeatureSet:
        """The features, in a stage after they are fitted."""
        assert self.features is not None, "the features are not fitted"
        return self.features

    def release_data(self) -> None:
        """Release all frames and matrices; what is fitted stays."""
        if self.features is not None:
            self.features.release()
        for data in (self.raw, self.rows):
            if data is not None:
                data.parts.release()

    @property
    def uses_gpu(self) -> bool:
        """True if a GPU makes any of the data."""
        devices = {self.raw.device} if self.raw is not None else set()
        if self.rows is not None:
            devices |= {self.rows.read_on, self.rows.context.device}
        if self.features is not None:
            devices.add(self.features.feed.device)
        return "gpu" in devices

    @property
    def is_complete(self) -> bool:
        """True if the matrices of all sets are in memory, or can be made from frames that are."""
        parts = self.features.feed.parts if self.features is not None else None
        return not self.stale and not (isinstance(parts, PersistedMatrices) and parts.released)
