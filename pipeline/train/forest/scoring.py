"""Scores rows with a forest: the estimator that was trained, or a Treelite checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.device import Array, Frames
from pipeline.errors import InputError
from pipeline.matrix import Target

FEW = 1_000
"""Rows up to which Treelite's interpreter scores. 100 trees of depth 16, 1 core: 0.5 ms for one
row, 7 ms for 100, 50 ms for 1,000; exported to scikit-learn 6, 9 and 23 ms after 240 ms once."""

LARGEST = float(np.finfo("float32").max)


def fill_missing(x: Array, fill: np.ndarray, xp: ModuleType) -> Array:
    """A copy of ``x`` with missing values filled and infinities cut to the largest float32."""
    return xp.clip(xp.where(xp.isnan(x), xp.asarray(fill), x), -LARGEST, LARGEST)


FILLED_AT_ONCE = 1 << 16
"""Rows of a matrix that are filled at a time: what is made on the way is no second matrix."""


def fill_missing_in_place(x: Array, fill: np.ndarray, xp: ModuleType) -> Array:
    """As `fill_missing`, but in ``x`` itself, which is returned."""
    for start in range(0, len(x), FILLED_AT_ONCE):
        rows = slice(start, start + FILLED_AT_ONCE)
        x[rows] = fill_missing(x[rows], fill, xp)
    return x


def score_in_threads(score: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """``score`` over blocks of rows, side by side.

    scikit-learn's own threads add up the trees in the order they finish, so that the last bits
    differ from call to call; blocks of rows do not (its ``n_jobs`` must be 1).
    """
    from dask.system import CPU_COUNT

    if len(x) <= FEW or CPU_COUNT == 1:
        return score(x)
    with ThreadPoolExecutor(CPU_COUNT) as pool:
        return np.concatenate(list(pool.map(score, np.array_split(x, 2 * CPU_COUNT))))


@dataclass(frozen=True)
class ForestScore:
    """The function of a forest. With neither estimator nor checkpoint it predicts a constant."""

    target: Target
    fill: np.ndarray
    present: list[int]
    """Classes that the forest knows, in the order of its columns."""
    device: Frames
    estimator: Any = None
    """That of the library that trained, as long as it is there."""
    checkpoint: bytes = b""
    few: int = FEW
    """Rows up to which Treelite's interpreter scores, whose last bits may be others."""

    def __reduce__(self) -> tuple[Any, ...]:
        # without what is cached below: Treelite's models are pointers, which pickle refuses
        own = (self.target, self.fill, self.present, self.device, self.estimator, self.checkpoint)
        return ForestScore, (*own, self.few)

    def __call__(self, x: Array) -> Array:
        """Scores as `Fitted.predict` describes them, float64."""
        xp = self.device.xp
        if len(self.present) == 1:
            known = xp.ones((len(x), 1))
        else:
            known = self._raw(fill_missing(x, self.fill, xp))
            if known.reshape(len(x), -1).shape[1] != max(1, len(self.present)):
                raise InputError(
                    "forest.tl: its classes are not those of its sidecar",
                    fix="run the config again",
                )
        if self.target.task == "regression":
            return known.reshape(len(x))
        every = xp.zeros((len(x), len(self.target.classes)))
        every[:, self.present] = known
        return every[:, 1] if self.target.task == "binary" else every

    def _raw(self, x: Array) -> Array:
        if self.device.name == "gpu":
            return self._on_the_gpu(x).astype("float64").reshape(len(x), -1)
        if self.estimator is None and len(x) <= self.few:
            import treelite

            raw = treelite.gtil.predict(self._model, x, nthread=1)
            return raw.reshape(len(x), -1)
        estimator = self._exported if self.estimator is None else self.estimator
        score = estimator.predict if self.target.task == "regression" else estimator.predict_proba
        return score_in_threads(score, x)

    @cached_property
    def _on_the_gpu(self) -> Callable[[Array], Array]:
        from pipeline.device.gpu import models

        return models.make_scorer(self.checkpoint, self.target.task, self.estimator)

    @cached_property
    def _model(self) -> Any:
        return self._parsed()

    @cached_property
    def _exported(self) -> Any:
        import treelite.sklearn

        return treelite.sklearn.export_model(self._parsed())  # which then goes

    def _parsed(self) -> Any:
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
