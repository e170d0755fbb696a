"""A trained model, and what it is trained with besides its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.device import Array
from pipeline.matrix import Feature, Target

SidecarJson = Mapping[str, Any]
"""The contents of a sidecar, which `pipeline.train.sidecar` has checked."""
Progress = Callable[[str, int, int], None]
"""Callback with a text, the rounds or trees that are done, and how many there will be."""


@dataclass(frozen=True)
class TrainingOptions:
    """The settings of one training that are not parameters of the model."""

    seed: int
    """Seed of row and column samples."""
    threads: int
    """Threads of the CPU."""
    checkpoint: Path | None = None
    """Folder from which a killed training resumes; None: no checkpoints are written."""
    rounds: int | None = None
    """Exact number of boosting rounds, without early stopping (a refit); None: as the parameters
    say."""
    cache: Path | None = None
    """Folder for XGBoost's bins, which the training creates and removes; None: in memory."""
    max_rows: int | None = None
    """Rows of a forest that fit into memory; None: all."""
    progress: Progress = lambda text, done, planned: None


@dataclass(frozen=True)
class FittedModel:
    """A trained model as a function over matrices."""

    name: str
    target: Target
    features: tuple[Feature, ...]
    score: Callable[[Array], Array]
    """Scores for a float32 (n, k) matrix with n > 0: see `predict`."""
    content: Any
    """The library's model to save: a `Booster`, or a Treelite checkpoint's bytes."""
    importances: Mapping[str, float]
    """Importance by feature; they sum to 1 (all 0 if no tree splits)."""
    rounds: int
    """Rounds of boosting, or trees."""
    history: Mapping[str, Mapping[str, list[float]]]
    """Set → metric → value per round, if there are rounds."""
    notes: tuple[str, ...]
    """Notes on the training for the ledger, saved with the model."""
    device: str
    """Device that trained the model: "cpu" or "gpu"."""
    details: Mapping[str, Any]
    """Keys of the sidecar that only this kind of model has."""
    process_notes: tuple[str, ...] = ()
    """Notes for the ledger that hold for this process only, and are not saved with the model."""

    def predict(self, x: Array) -> Array:
        """Score the ``x`` of a `pipeline.matrix.Matrix`, on its device.

        Returns:
            Floats: (n,) probability of ``classes[1]`` (binary), (n, classes) probabilities
            (multiclass), (n,) values (regression).
        """
        if len(x) > 0:
            return self.score(x)
        # The libraries refuse a matrix without rows.
        width = len(self.target.classes)
        return x[:, :0].reshape((0, width) if self.target.task == "multiclass" else (0,))


def fields_of_sidecar(sidecar: SidecarJson) -> dict[str, Any]:
    """Return the fields of a `FittedModel` that every model's sidecar holds."""
    return {
        "name": sidecar["model"],
        "target": Target(sidecar["task"], tuple(sidecar["classes"])),
        "features": tuple(Feature(f["name"], f["kind"], f["size"]) for f in sidecar["features"]),
        "importances": sidecar["importances"],
        "rounds": sidecar["rounds"],
        "history": sidecar["history"],
        "notes": tuple(sidecar["notes"]),
        "device": sidecar["device"],
    }
