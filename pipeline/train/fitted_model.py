"""A trained model as a function over matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.device import Array
from pipeline.matrix import Feature, Target

Progress = Callable[[str, int, int], None]
"""Takes what is being done, how many rounds or trees there are, and how many there will be."""


@dataclass(frozen=True)
class FittedModel:
    """A trained model."""

    name: str
    target: Target
    features: tuple[Feature, ...]
    score: Callable[[Array], Array]
    """Scores for a float32 (n, k) matrix with n > 0: see `predict`."""
    content: Any
    """What is saved: a `Booster`, or a Treelite checkpoint's bytes."""
    importances: Mapping[str, float]
    """By feature; they sum to 1 (all 0 if no tree splits)."""
    rounds: int
    """Rounds of boosting, or trees."""
    history: Mapping[str, Mapping[str, list[float]]]
    """Set → metric → value per round, if there are rounds."""
    notes: tuple[str, ...]
    """What the ledger says of the training; part of what is saved."""
    device: str
    """"cpu" or "gpu": where it was trained."""
    details: Mapping[str, Any]
    """The model's own part of the sidecar."""
    process_notes: tuple[str, ...] = ()
    """What the ledger says of how this process came to it, which another may not say."""

    def predict(self, x: Array) -> Array:
        """Scores for the ``x`` of a `pipeline.matrix.Matrix`, on its device.

        Returns:
            Floats: (n,) probability of ``classes[1]`` (binary), (n, classes) probabilities
            (multiclass), (n,) values (regression).
        """
        if len(x) > 0:
            return self.score(x)
        width = len(self.target.classes)
        return x[:, :0].reshape((0, width) if self.target.task == "multiclass" else (0,))
