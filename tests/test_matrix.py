import numpy as np
import pandas as pd

from pipeline.features.chain import Context, new_matrix
from pipeline.features.try_op import frame_of
from pipeline.matrix import Feature, complete

FEATURES = (Feature("x", "q"), Feature("code", "c"))


def test_a_missing_category_is_zero_and_the_others_one_higher():
    x = np.array([[np.nan, np.nan], [1, 0], [2, 7]], dtype="float32")
    made = complete(x, FEATURES, np)
    assert made is x
    np.testing.assert_array_equal(made, np.array([[np.nan, 0], [1, 1], [2, 8]], "float32"))


def test_what_models_get_has_no_missing_category():
    columns = {"x": [1.0, None], "code": pd.array([None, 3], dtype="Int32")}
    _, frame = frame_of(pd.DataFrame(columns))
    made, _ = new_matrix(frame, (), FEATURES, Context("cpu", 0, "binary", 2))
    assert made.flags.c_contiguous
    np.testing.assert_array_equal(made, np.array([[1, 0], [np.nan, 4]], "float32"))
