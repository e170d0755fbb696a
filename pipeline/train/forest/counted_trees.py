"""Trees of scikit-learn's forests that count themselves as they are grown."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def count_trees(forest: Any, on_tree: Callable[[int], None]) -> None:
    """Call ``on_tree`` with the number of trees so far, whenever the forest has grown one.

    The trees are the same. scikit-learn has no callback, and to grow them in several calls
    (``warm_start``) would leave threads idle at the end of each.

    Args:
        forest: a forest that is not trained yet.
        on_tree: several threads call it, one at a time.
    """
    lock, grown = threading.Lock(), 0
    tree: Any = type(forest.estimator)

    def fit_and_count(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal grown
        fitted = tree._fit(self, *arguments, **options)
        with lock:
            grown += 1
            on_tree(grown)
        return fitted

    # `_fit` is what forests call (scikit-learn 1.3 to 1.9). Without it nothing is counted.
    counting = type(tree.__name__, (tree,), {"_fit": fit_and_count})
    forest.estimator = counting()
