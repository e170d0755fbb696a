"""The required contents of ``evaluate/metrics.json`` and ``evaluate/curves.json``."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter, model_validator

from pipeline.artifacts.manifest_model import SetName, Task
from pipeline.config.stored import Count, Positive, StoredObject
from pipeline.evaluate.metrics import NAMES, Metrics

Fraction = float | None


def _check_names(task: Task, metrics: Metrics | None, where: str) -> None:
    if metrics is not None and set(metrics) != set(NAMES[task]):
        raise ValueError(f"{where} must have the metrics of a {task} task")


class OfSets(StoredObject):
    """Metrics of the held-out sets."""

    valid: Metrics | None = None
    test: Metrics


class MetricsFile(StoredObject):
    """The contents of ``metrics.json``."""

    task: Task
    rows: dict[SetName, Count]
    baseline: OfSets
    models: Annotated[dict[str, OfSets], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> MetricsFile:
        for name, sets in {"baseline": self.baseline, **self.models}.items():
            _check_names(self.task, sets.valid, f"{name!r:.80}.valid")
            _check_names(self.task, sets.test, f"{name!r:.80}.test")
        return self


class Importance(StoredObject):
    """A feature's share of the gain of a model's splits."""

    feature: str
    value: Positive


class Confusion(StoredObject):
    """A confusion matrix; with ``classes`` and ``rest`` for a multiclass target."""

    matrix: list[list[Count]]
    threshold: float | None = None
    classes: list[str] | None = None
    rest: Count = 0

    @model_validator(mode="after")
    def _square(self) -> Confusion:
        if any(len(row) != len(self.matrix) for row in self.matrix):
            raise ValueError("matrix must be square")
        if self.classes is not None and len(self.matrix) != len(self.classes) + (self.rest > 0):
            raise ValueError("matrix must have a row per class")
        return self


class Points(StoredObject):
    """Points of the ROC and precision-recall curves."""

    threshold: list[Fraction]
    fpr: list[float]
    tpr: list[float]
    precision: list[Fraction]

    @model_validator(mode="after")
    def _aligned(self) -> Points:
        columns = (self.threshold, self.fpr, self.tpr, self.precision)
        if len({len(column) for column in columns}) > 1:
            raise ValueError("threshold, fpr, tpr and precision must be equally long")
        return self


Curves = Annotated[
    Annotated[Points, Tag("one")] | Annotated[dict[str, Points | None], Tag("many")],
    Discriminator(
        lambda value: (
            "one"
            if isinstance(value, dict) and isinstance(value.get("threshold"), list)
            else "many"
        )
    ),
]
"""One curve of a binary target, or one per class."""


class Bin(StoredObject):
    """Rows with about the same prediction."""

    rows: Count
    predicted: float
    actual: float
    low: float
    high: float


class Residuals(StoredObject):
    """A histogram of the actual minus the predicted values."""

    edges: Annotated[list[float], Field(min_length=2)]
    counts: list[Count]
    below: Count
    above: Count

    @model_validator(mode="after")
    def _rise(self) -> Residuals:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError("edges must be one more than counts")
        if not all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges must rise")
        return self


class Slice(StoredObject):
    """Metrics of the rows with one value of a column."""

    value: str | None
    kind: Literal["value", "rest", "missing"]
    rows: Count
    values: Count
    metrics: Metrics


class OfClass(StoredObject):
    """The metrics of a class."""

    name: Annotated[str, Field(alias="class")]
    rows: Count
    precision: Fraction
    recall: Fraction
    f1: Fraction
    roc_auc: Fraction


class SetCurves(StoredObject):
    """The curves of one model on one set, as far as they are defined."""

    confusion: list[Confusion] = []
    points: Curves | None = None
    calibration: list[Bin] = []
    residuals: Residuals | None = None
    agreement: list[Bin] = []
    classes: list[OfClass] = []
    slices: dict[str, list[Slice]] = {}


class ModelCurves(StoredObject):
    """The curves of one model."""

    importances: list[Importance]
    history: dict[str, dict[str, list[float]]]
    valid: SetCurves = SetCurves()
    test: SetCurves = SetCurves()


class CurvesFile(StoredObject):
    """The contents of ``curves.json``."""

    task: Task
    classes: list[str]
    models: dict[str, ModelCurves]

    @model_validator(mode="after")
    def _same_slices(self) -> CurvesFile:
        tests = [m.test.slices for m in self.models.values() if m.test.slices]
        shapes = {tuple((n, len(parts)) for n, parts in slices.items()) for slices in tests}
        if len(shapes) > 1:
            raise ValueError("the models must have the same slices")
        return self


@cache
def metrics_adapter() -> TypeAdapter[MetricsFile]:
    """Return the adapter that checks a ``metrics.json``."""
    return TypeAdapter(MetricsFile)


@cache
def curves_adapter() -> TypeAdapter[CurvesFile]:
    """Return the adapter that checks a ``curves.json``."""
    return TypeAdapter(CurvesFile)
