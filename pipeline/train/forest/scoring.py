"""Scores of a forest: by the estimator that was trained, or by a Treelite checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.device import Array, Frames
from pipeline.errors import InputError
from pipeline.matrix import Target

if TYPE_CHECKING:
    import treelite

FEW = 1_000
"""Rows up to which Treelite's interpreter scores. 100 trees of depth 16, 1 core: 0.5 ms for one
row, 7 ms for 100, 50 ms for 1,000; exported to scikit-learn 6, 9 and 23 ms after 240 ms once."""
LARGEST = float(np.finfo("float32").max)
FILLED_AT_ONCE = 1 << 16
"""Rows of a matrix that are filled at a time, so that the temporary arrays stay small."""


def fill_missing(x: Array, fill: np.ndarray, xp: ModuleType) -> Array:
    """Return a copy of ``x`` without missing values, infinities cut to the largest float32."""
    return xp.clip(xp.where(xp.isnan(x), xp.asarray(fill), x), -LARGEST, LARGEST)


def fill_missing_in_place(x: Array, fill: np.ndarray, xp: ModuleType) -> Array:
    """Fill the missing values of ``x`` itself, as `fill_missing` does, and return it."""
    for start in range(0, len(x), FILLED_AT_ONCE):
        rows = slice(start, start + FILLED_AT_ONCE)
        x[rows] = fill_missing(x[rows], fill, xp)
    return x


def score_in_threads(score: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Score blocks of rows in parallel; ``score`` must be single-threaded (``n_jobs=1``)."""
    # scikit-learn's own threads add up the trees in the order in which they finish: the last bits
    # would differ from call to call. Blocks of rows do not.
    from dask.system import CPU_COUNT

    if len(x) <= FEW or CPU_COUNT == 1:
        return score(x)
    with ThreadPoolExecutor(CPU_COUNT) as pool:
        return np.concatenate(list(pool.map(score, np.array_split(x, 2 * CPU_COUNT))))


@dataclass(frozen=True)
class ForestScore:
    """The score function of a forest; without estimator and checkpoint it predicts a constant."""

    target: Target
    fill: np.ndarray
    """float32 (k,): what stands for a missing value, by feature."""
    present: list[int]
    """Classes that the forest was trained on, in the order of its columns."""
    device: Frames
    estimator: Any = None
    """The estimator of the library that trained, in the process that trained."""
    checkpoint: bytes = b""
    few: int = FEW
    """Rows up to which Treelite's interpreter scores, whose last bits may differ."""

    def __reduce__(self) -> tuple[Any, ...]:
        # leaves out what is cached below: Treelite's models are pointers, which pickle refuses
        fields = (self.target, self.fill, self.present, self.device, self.estimator)
        return ForestScore, (*fields, self.checkpoint, self.few)

    def __call__(self, x: Array) -> Array:
        """Return scores as `FittedModel.predict` describes them, float64."""
        xp = self.device.xp
        if len(self.present) == 1:
            scores = xp.ones((len(x), 1))
        else:
            scores = self._predict(fill_missing(x, self.fill, xp))
            if scores.reshape(len(x), -1).shape[1] != max(1, len(self.present)):
                raise InputError(
                    "forest.tl: its classes are not those of its sidecar",
                    fix="run the config again",
                )
        if self.target.task == "regression":
            return scores.reshape(len(x))
        probabilities = scores.astype("float64", copy=False)
        if len(self.present) < len(self.target.classes):
            # classes without training rows get 0
            probabilities = xp.zeros((len(x), len(self.target.classes)))
            probabilities[:, self.present] = scores
        return probabilities[:, 1] if self.target.task == "binary" else probabilities

    def _predict(self, x: Array) -> Array:
        if self.device.name == "gpu":
            return self._gpu_score(x).astype("float64").reshape(len(x), -1)
        if self.estimator is None and len(x) <= self.few:
            import treelite

            scores = treelite.gtil.predict(self._treelite_model, x, nthread=1)
            return scores.reshape(len(x), -1)
        estimator = self._exported if self.estimator is None else self.estimator
        score = estimator.predict if self.target.task == "regression" else estimator.predict_proba
        return score_in_threads(score, x)

    @cached_property
    def _gpu_score(self) -> Callable[[Array], Array]:
        from pipeline.device.gpu import models

        return models.make_scorer(self.checkpoint, self.target.task, self.estimator)

    @cached_property
    def _treelite_model(self) -> treelite.Model:
        return self._deserialize()

    @cached_property
    def _exported(self) -> Any:
        """The forest as scikit-learn's estimator."""
        import treelite.sklearn

        # a model of its own, not the cached one, so that it is freed after the export
        return treelite.sklearn.export_model(self._deserialize())

    def _deserialize(self) -> treelite.Model:
        import treelite

        try:
            model = treelite.Model.deserialize_bytes(self.checkpoint)
        except treelite.TreeliteError as error:
            raise InputError(
                f"forest.tl is not a Treelite checkpoint: {error}", fix="run the config again"
            ) from None
        if int(model.num_feature) != len(self.fill):
            raise InputError(
                "forest.tl: its features are not those of its sidecar", fix="run the config again"
            )
        return model
