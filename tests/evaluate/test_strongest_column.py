"""The column that predicts best alone, among those of the matrix."""

import numpy as np
import pytest

from pipeline.evaluate.strongest_column import find_strongest_column
from pipeline.matrix import Feature, Matrix, Target

FEATURES = [Feature("noise", "q"), Feature("copy", "q"), Feature("code", "c", 5)]


def make(n, seed, task):
    rng = np.random.default_rng(seed)
    label = rng.normal(size=n) if task == "regression" else (rng.random(n) < 0.4).astype(float)
    codes = rng.integers(0, 6, n)  # 0 is a missing category
    x = np.column_stack([rng.normal(size=n), label * 3 + 1, codes]).astype("float32")
    x[::7, 0] = np.nan
    return Matrix(x, label, None, np.arange(n))


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("valid_rows", [0, 5, 200])
def test_a_copy_of_the_target_is_named_with_or_without_valid_rows(task, valid_rows):
    target = Target(task, (False, True) if task == "binary" else ())
    valid, test = make(valid_rows, 1, task), make(300, 2, task)
    best = find_strongest_column(FEATURES, valid, test, target)
    assert best.name == "copy" and best.score.strength == "decisive" and best.is_conclusive
    without = [m._replace(x=m.x[:, [0, 2]]) for m in (valid, test)]
    weak = find_strongest_column([FEATURES[0], FEATURES[2]], *without, target)
    assert weak.score.strength == "" and weak.metric == {"binary": "AUC"}.get(task, "R²")


def test_a_code_that_gives_the_class_is_scored_as_a_category():
    valid, test = make(200, 1, "binary"), make(200, 2, "binary")
    for m in (valid, test):
        # odd codes are one class: neither a threshold nor a line finds that
        m.x[:, 2] = np.where(m.label == 1, 1 + 2 * (m.ids % 2), 2 * (1 + m.ids % 2))
        m.x[:, 1] = 0
    best = find_strongest_column(FEATURES, valid, test, Target("binary", (0, 1)))
    assert best.name == "code" and best.score.value > 0.99


def test_no_rows_no_score():
    few = make(10, 1, "binary")
    assert find_strongest_column(FEATURES, few, few, Target("binary", (0, 1))) is None
