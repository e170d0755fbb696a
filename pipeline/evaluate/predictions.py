"""Columns of predictions: what a model's scores say in the classes of the target."""

from __future__ import annotations

import numpy as np

from pipeline.evaluate import metrics
from pipeline.matrix import Target


def label_values(label: np.ndarray, target: Target) -> np.ndarray:
    """Return the class values of label positions; for a regression, the label itself."""
    if target.task == "regression":
        return label
    values: np.ndarray = class_array(target)[label.astype("int64")]
    return values


def class_array(target: Target) -> np.ndarray:
    """Return the classes as one array of their own type, with text as object."""
    if all(isinstance(c, str) for c in target.classes):
        return np.array(target.classes, dtype=object)
    return np.array(target.classes)


def prediction_columns(score: np.ndarray, target: Target) -> dict[str, np.ndarray]:
    """Return ``prediction``, and for a classification ``p_<class>`` of every class."""
    if target.task == "regression":
        return {"prediction": np.asarray(score, "float64")}
    if target.task == "binary":
        score = np.column_stack([1 - score, score])
    predicted = class_array(target)[metrics.predict_labels(target.task, score)]
    columns = {f"p_{c}": score[:, i] for i, c in enumerate(target.classes)}
    return {"prediction": predicted, **columns}
