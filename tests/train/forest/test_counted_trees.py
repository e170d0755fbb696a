"""A forest that counts its trees is the forest that does not."""

import numpy as np
import pytest
import treelite
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from pipeline.train.forest.counted_trees import count_trees


@pytest.mark.parametrize("kind", [RandomForestClassifier, RandomForestRegressor])
@pytest.mark.parametrize("threads", [1, 3])
def test_each_tree_is_counted_and_none_is_another(kind, threads):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype("float32")
    y = (x[:, 0] + x[:, 1] ** 2 > 1).astype("int32")
    options = {"n_estimators": 12, "random_state": 3, "n_jobs": threads, "max_samples": 0.7}
    counts = []
    counted, plain = kind(**options), kind(**options).fit(x, y)
    count_trees(counted, counts.append)
    counted.fit(x, y)
    assert counts == list(range(1, 13))
    files = [treelite.sklearn.import_model(f).serialize_bytes() for f in (counted, plain)]
    assert files[0] == files[1], "the same bytes"
    assert (counted.feature_importances_ == plain.feature_importances_).all()
