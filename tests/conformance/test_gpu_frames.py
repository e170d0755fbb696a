"""The GPU's own functions, on columns and arrays that answer as cuDF's and CuPy's do.

`pipeline/device/gpu/frames.py` and `lookup.py` themselves run here, without RAPIDS: every function
against the CPU's, and every op of the contract suite on them.
"""

from functools import reduce

import numpy as np
import pandas as pd
import pytest
from arrays import Array
from cases import CASES, setting
from conforming import assert_on_the_host

from pipeline.device import cpu
from pipeline.device.weighted_quantiles import compute_weighted_quantiles
from pipeline.features.op import Op


@pytest.fixture
def host():
    return setting(CASES[0]).host


def same(made, expected):
    np.testing.assert_array_equal(made.host if isinstance(made, Array) else made, expected)


def test_a_frame_goes_there_and_comes_back(gpu, host):
    there = gpu.to_device(host)
    pd.testing.assert_frame_equal(gpu.to_host(there), host)
    same(gpu.row_ids(there), cpu.row_ids(host))
    pd.testing.assert_frame_equal(
        gpu.to_host(gpu.pack_integers(there)), cpu.pack_integers(host), check_dtype=False
    )
    for name in host:
        small = gpu.pack_integers(there[[name]])[name]
        made = gpu.to_host(gpu.unpack_integers(small))
        pd.testing.assert_series_equal(made, host[name], check_names=False, check_dtype=False)
    assert gpu.read_meter()["d2h"] > 0


def test_no_rows(gpu):
    schema = setting(CASES[0]).schema
    made = gpu.empty_frame(list(schema))
    pd.testing.assert_frame_equal(gpu.to_host(made), cpu.empty_frame(list(schema)))


def test_columns_as_arrays(gpu, host):
    there = gpu.to_device(host)
    for name in host:
        if cpu_text := isinstance(host[name].dtype, pd.CategoricalDtype):
            for a, b in zip(gpu.to_codes(there[name]), cpu.to_codes(host[name]), strict=True):
                same(a, b)
        else:
            for a, b in zip(gpu.to_arrays(there[name]), cpu.to_arrays(host[name]), strict=True):
                same(a, b)
            same(gpu.to_floats(there[name]), cpu.to_floats(host[name]))
            codes, values = gpu.to_codes(there[name])
            assert isinstance(values, np.ndarray)
            known = codes.host >= 0
            same(values[codes.host[known]], cpu.to_arrays(host[name])[0][known])
        same(gpu.hash_values(there[name], 7), cpu.hash_values(host[name], 7))
        keys = cpu.to_codes(host[name])[1][::2]
        if not cpu_text and host[name].dtype.kind == "M":
            keys = keys.astype("int64")
        same(gpu.find_positions(there[name], keys), cpu.find_positions(host[name], keys))


@pytest.mark.parametrize("rows", [None, [5, 3, 3, 200]])
def test_a_matrix(gpu, host, rows):
    names = [n for n in host if host[n].dtype.kind in "iufb"]
    at = None if rows is None else np.array(rows)
    made = gpu.to_matrix(gpu.to_device(host), names, None if at is None else gpu.to_device(at))
    same(made, cpu.to_matrix(host, names, at))
    assert made.host.flags.c_contiguous


def test_counts_and_repeated_values(gpu):
    codes, weights = np.array([2, 0, -1, 2, 5]), np.array([0.5, 1, 9, 2, 4])
    there = [gpu.to_device(a) for a in (codes, weights)]
    same(gpu.bincount(there[0], 7), cpu.bincount(codes, 7))
    same(gpu.bincount(*reversed([*there[1:], 7, there[0]])), cpu.bincount(codes, 7, weights))
    same(gpu.bincount(there[0][:0], 3, there[1][:0]), np.zeros(3))
    for repeated in (np.repeat([3, 1], 500), np.arange(4)):
        same(np.sort(gpu.to_host_unordered(gpu.to_device(repeated))), np.sort(repeated))


def test_what_is_kept_of_a_table_can_be_freed_and_is_made_again(gpu):
    table, column = (
        pd.DataFrame({"key_0": [5, 7]}),
        gpu.make_series(gpu.to_device(np.array([7, 6])), "int64"),
    )
    looked_up = []

    def made():
        looked_up.append("table")
        return np.array([1.5, 2.5, 0.0])

    for _ in range(2):
        for _ in range(2):
            at = gpu.find_positions(column, table["key_0"].to_numpy(), (table, "key_0"))
            same(gpu.cache_array(table, "values", made)[at], [2.5, 0.0])
        gpu.release()
    assert looked_up == ["table"] * 2
    assert all(not own for own in gpu._cache._values.values())


@pytest.mark.parametrize("chosen", CASES, ids=lambda c: c.id)
def test_every_op_on_the_gpus_own_functions(chosen, gpu):
    given = setting(chosen)
    op, reads = given.op, given.op.reads(given.schema)

    parts = given.parts(2)
    here = [(frame[reads], rows) for frame, rows in parts]
    there = [(gpu.to_device(frame), given.rows(rows.ids, gpu)) for frame, rows in here]
    state = expected_state = op.prepare(given.schema, given.tables)
    for _ in range(op.n_passes if op.requires_fit else 0):
        found = [op.summarise(*part, state) for part in there]
        assert_on_the_host(found)
        state = op.finish(reduce(op.merge, found), state)
        plain = [op.summarise(*part, expected_state) for part in here]
        expected_state = op.finish(reduce(op.merge, plain), expected_state)
    settled = op.resolve_outputs(expected_state)
    own = type(op).transform_train is not Op.transform_train
    for step in (settled.transform, settled.transform_train)[: 1 + own]:
        for (a, a_rows), (b, b_rows) in zip(there, here, strict=True):
            made, expected = gpu.to_host(step(a, state, a_rows)), step(b, expected_state, b_rows)
            assert list(made.columns) == list(expected.columns)
            for name in expected:
                pd.testing.assert_series_equal(
                    plainly(made[name]), plainly(expected[name]), rtol=1e-12, atol=0
                )


def test_weighted_quantiles_of_the_gpus_arrays(gpu):
    values, weights = np.array([3.0, 1.0, 2.0, 9.0]), np.array([2.0, 1.0, 0.5, 4.0])
    shares = [0.0, 0.4, 0.5, 1.0]
    there = [gpu.to_device(array) for array in (values, weights)]
    found = compute_weighted_quantiles(*there, shares, gpu.xp)
    assert found == pytest.approx(compute_weighted_quantiles(values, weights, shares, np))


def plainly(column):
    """Text as objects: what order a dictionary has is nobody's business."""
    return column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
