import warnings

import numpy as np
import pandas as pd

from pipeline.device import cpu
from pipeline.features.engine.transform import TransformContext, build_scoring_matrix
from pipeline.features.try_op import make_frame
from pipeline.matrix import Feature, Target, zero_missing_codes

FEATURES = (Feature("x", "q"), Feature("code", "c"))


def test_a_missing_category_is_zero_and_the_others_one_higher():
    codes = pd.Series(pd.array([None, 0, 7], dtype="Int32"))
    made = zero_missing_codes(codes, cpu)
    np.testing.assert_array_equal(made, [0, 1, 8])
    assert codes.isna().tolist() == [True, False, False]


def test_what_models_get_has_no_missing_category():
    columns = {"x": [1.0, None], "code": pd.array([None, 3], dtype="Int32")}
    _, frame = make_frame(pd.DataFrame(columns))
    made, _ = build_scoring_matrix(frame, (), FEATURES, TransformContext("cpu", 0, "binary", 2))
    assert made.flags.c_contiguous
    np.testing.assert_array_equal(made, np.array([[1, 0], [np.nan, 4]], "float32"))


def test_a_target_names_its_classes():
    assert str(Target("regression")) == "regression"
    assert str(Target("binary", (False, True))) == "binary (False, True)"
    assert str(Target("multiclass", tuple(range(10)))).endswith("8, 9)")
    assert str(Target("multiclass", tuple(range(11)))).endswith("8, 9, …)")


def test_what_float32_cannot_hold_is_infinite_without_a_warning():
    _, frame = make_frame(pd.DataFrame({"x": [1e39, -1e300, 3e38]}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cpu.to_matrix(frame, ["x"])
    np.testing.assert_array_equal(found, np.array([[np.inf], [-np.inf], [3e38]], "float32"))
