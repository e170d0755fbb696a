"""scale against scikit-learn's scalers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_laws import any_rows, assert_lawful, fitted
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from pipeline.errors import ConfigError
from pipeline.features.registry import parse_op
from pipeline.features.try_op import make_frame, try_op

PEERS = {"standard": StandardScaler, "min_max": MinMaxScaler, "robust": RobustScaler}


@pytest.mark.parametrize("method", PEERS)
def test_keeps_the_laws(method, tmp_path, device):
    entry = {"scale": {"columns": "numeric", "method": method, "as": "{column} z"}}
    assert_lawful(entry, any_rows(), tmp_path, device)


@pytest.mark.parametrize("method", PEERS)
def test_equals_scikit_learn(method):
    data = {name: any_rows()[name] for name in ("a.b c", "float")}
    made = try_op({"scale": {"columns": "numeric", "method": method}}, data)
    plain = pd.DataFrame(data).astype("float64")
    assert np.allclose(made, PEERS[method]().fit_transform(plain), rtol=1e-12, equal_nan=True)


@pytest.mark.parametrize("method", PEERS)
def test_constants_become_zero_and_infinities_stay(method):
    data = {"c": [0.1] * 7, "i": [1.0, 2.0, 3.0, 4.0, None, np.inf, -np.inf]}
    made = try_op({"scale": {"columns": "all", "method": method}}, data)
    assert made["c"].eq(0.0).all()
    assert np.isfinite(made["i"][:4]).all()
    assert made["i"][5:].tolist() == [np.inf, -np.inf]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3) | st.none(), min_size=1, max_size=30), st.integers(2, 8))
def test_partitioning_does_not_matter(values, parts):
    data = {"x": pd.Series(values, dtype="float64")}
    for method in PEERS:
        entry = {"scale": {"columns": "x", "method": method}}
        whole, split = fitted(entry, data)[2], fitted(entry, data, parts)[2]
        for key in ("centres", "spreads"):
            assert np.allclose(whole[key], split[key], rtol=1e-9, atol=1e-9)


def test_huge_values_leave_a_state_that_is_json(tmp_path):
    data = {"x": [1.7e308, -1.7e308, 3.0]}
    for method in PEERS:
        state = fitted({"scale": {"columns": "x", "method": method}}, data)[2]
        assert np.isfinite(state["centres"] + state["spreads"]).all()


def test_refuses_text():
    schema, _ = make_frame(any_rows(5))
    with pytest.raises(ConfigError, match="scale takes numeric columns"):
        parse_op({"scale": {"columns": "text"}}).reads(schema)
