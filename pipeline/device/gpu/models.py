"""Random forests on the GPU: cuML trains, nvForest scores."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from pipeline.device import Array
from pipeline.errors import DeviceError


def make_forest(task: str, *, n_bins: int, **options: Any) -> Any:
    """Return an untrained cuML forest, with scikit-learn's `fit` and `predict`.

    Args:
        task: "binary", "multiclass" or "regression".
        n_bins: bins of a column's values; splits are tried at their edges.
        options: `n_estimators`, `max_depth`, `min_samples_leaf`, `max_features`, `max_samples` (a
            share) and `random_state`, as scikit-learn names them. Missing values must be filled.
    """
    from cuml.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if task == "regression" else RandomForestClassifier
    return kind(n_bins=n_bins, output_type="cupy", **options)


def make_scorer(checkpoint: bytes, task: str, estimator: Any = None) -> Callable[[Array], Array]:
    """Return a function that scores a forest on the GPU: nvForest's, or else the estimator's.

    Args:
        checkpoint: Treelite's bytes, of cuML or of scikit-learn.
        task: "binary", "multiclass" or "regression".
        estimator: the trained cuML forest, if it is still in memory.

    Returns:
        float32 (n, k) to (n,) values of a regression, else to (n, classes) probabilities.

    Raises:
        DeviceError: nvForest is not installed, and there is no estimator.
    """
    if find_spec("nvforest") is not None:
        import nvforest
        import treelite

        # In the checkpoint's own precision: scikit-learn's trees split at float64 thresholds, which
        # single precision would move past some rows.
        model = treelite.Model.deserialize_bytes(checkpoint)
        estimator = nvforest.load_from_treelite_model(model, device="gpu")
    if estimator is None:
        raise DeviceError(
            "forest: on the gpu a saved forest scores through nvForest, which is not installed",
            fix="install nvforest-cu13 (nvforest-cu12), as the extra gpu (gpu-cu12) does; or use "
            "--device cpu",
        )
    if task == "regression":
        return lambda x: estimator.predict(x).reshape(len(x))
    return lambda x: estimator.predict_proba(x).reshape(len(x), -1)
