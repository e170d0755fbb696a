"""Random forests on the GPU: cuML trains, nvForest scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.device import Array


def forest(task: str, *, n_bins: int, **options: Any) -> Any:
    """A cuML forest that is not trained yet, with scikit-learn's `fit` and `predict`.

    Args:
        task: "binary", "multiclass" or "regression".
        n_bins: bins of a column's values, at which splits are tried.
        options: `n_estimators`, `max_depth`, `min_samples_leaf`, `max_features`, `max_samples` (a
            share) and `random_state`, as scikit-learn names them. Missing values must be filled.
    """
    from cuml.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if task == "regression" else RandomForestClassifier
    return kind(n_bins=n_bins, output_type="cupy", **options)


def scorer(checkpoint: bytes, task: str) -> Callable[[Array], Array]:
    """The function of a Treelite checkpoint on the GPU, through nvForest.

    Returns:
        float32 (n, k) to (n,) values of a regression, else to (n, classes) probabilities.
    """
    import nvforest
    import treelite

    model = nvforest.load_from_treelite_model(
        treelite.Model.deserialize_bytes(checkpoint), device="gpu"
    )
    if task == "regression":
        return lambda x: model.predict(x).reshape(len(x))
    return lambda x: model.predict_proba(x).reshape(len(x), -1)
