"""What every op keeps, whatever its mathematics, over every case of `cases.CASES`."""

import copy
import json
from functools import reduce

import numpy as np
import pandas as pd
import pytest
from cases import BLANK, CASES, setting
from laws import REL, assert_same, declared, fit, made, plain

from pipeline.device import cpu, dtype_of
from pipeline.errors import DataError
from pipeline.features.engine import state_io as stored
from pipeline.features.registry import REGISTRY, dump_op, parse_op
from pipeline.features.saved_state import SavedState


@pytest.fixture(scope="module", params=CASES, ids=lambda c: c.id)
def given(request):
    return setting(request.param)


def assert_declared(given, state, host, n):
    columns = declared(given, state)
    assert list(host.columns) == [c.name for c in columns]
    assert len(host) == n or not columns
    assert host.index.equals(pd.RangeIndex(len(host)))
    for column, wanted in zip(columns, cpu.empty_frame(columns).dtypes, strict=True):
        assert dtype_of(host[column.name]) == column.dtype
        if column.dtype != "text":
            assert host[column.name].dtype == wanted, column


# -- the laws --------------------------------------------------------------------------------------


def test_every_op_has_a_case():
    assert {c.op_name for c in CASES} == set(REGISTRY)


def test_a_fitted_op_has_a_model_of_its_state(given):
    assert not given.op.requires_fit or given.op.state_model is not SavedState


def test_the_state_is_the_same_on_every_partitioning(given, device):
    whole = fit(given, given.parts(1, device))
    for parts in (given.parts(3, device), given.parts(17, device), given.uneven_parts(device)):
        assert_same(fit(given, parts), whole)


def test_a_refit_is_the_same_to_the_bit(given, device):
    assert_same(fit(given, given.parts(3, device)), fit(given, given.parts(3, device)), rel=0)


def test_merge_is_associative_and_commutative(given):
    merge, parts = given.op.merge, given.parts(4)
    whole = fit(given, parts)
    backwards = fit(given, parts, lambda s: reduce(merge, s[::-1]))
    grouped = fit(given, parts, lambda s: merge(merge(s[2], s[0]), merge(s[3], s[1])))
    assert_same(backwards, whole)
    assert_same(grouped, whole)


def test_the_columns_are_the_declared_ones(given, device):
    state = fit(given, given.parts(1, device))
    every = [*given.parts(1, device), *given.uneven_parts(device)]
    for frame, rows in every:
        assert_declared(given, state, made(given, state, frame, rows), len(frame))
        assert_declared(
            given, state, made(given, state, frame, rows, "transform_train"), len(frame)
        )


def test_after_is_what_produces_and_removes_say(given):
    op = given.op.resolve_outputs(fit(given, given.parts(1)))
    after = op.output_schema(given.schema)
    assert {c.name: c for c in op.produces(given.schema)}.items() <= {
        c.name: c for c in after
    }.items()
    assert not set(op.removes(given.schema)) & (
        set(after.names) - {c.name for c in op.produces(given.schema)}
    )
    assert set(op.reads(given.schema)) <= set(given.schema.names)


@pytest.mark.parametrize("step", ["transform", "transform_train"])
def test_rows_get_the_same_values_on_every_partitioning(given, device, step):
    state = fit(given, given.parts(1, device))
    whole = plain(made(given, state, *given.parts(1, device)[0], step))
    for parts in (given.parts(3, device), given.uneven_parts(device)):
        order = np.concatenate([device.to_host(rows.ids) for _, rows in parts]).argsort()
        pieces = [plain(made(given, state, f, r, step)) for f, r in parts]
        pieces = [p for p in pieces if len(p)] or pieces[:1]  # an empty object column has no dtype
        joined = pd.concat(pieces, ignore_index=True)
        if len(joined):
            joined = joined.iloc[order].reset_index(drop=True)
        pd.testing.assert_frame_equal(joined, whole, rtol=REL, atol=0)


def test_values_and_text_never_seen(given, device):
    state = fit(given, given.parts(3, device))
    frame, rows = given.fresh(device)
    assert_declared(given, state, made(given, state, frame, rows), len(frame))
    none = frame.head(0).reset_index(drop=True)
    no_rows = given.rows(np.arange(0), device, label=None, predicting=True)
    assert_declared(given, state, made(given, state, none, no_rows), 0)


def test_training_on_no_rows_and_on_nothing_but_missing(given, device):
    for at in (np.arange(0), np.arange(BLANK.start, BLANK.stop)):
        try:
            state = fit(given, [given.part(at, device)])
        except DataError as error:  # a clear refusal will do: folds by a column without values
            assert error.fix
            continue
        frame, rows = given.parts(1, device)[0]
        assert_declared(given, state, made(given, state, frame, rows), len(frame))


def test_arguments_are_never_changed(given, device):
    parts, op = given.parts(2, device), given.op
    frames = [(f, device.to_host(f).copy(deep=True)) for f, _ in parts]
    arrays = [(a, device.to_host(a).copy()) for _, r in parts for a in (r.ids, r.label)]
    tables = {name: table.copy(deep=True) for name, table in given.tables.items()}
    dumped = op.model_dump()
    state = op.prepare(given.schema, given.tables)
    if op.requires_fit:
        a, b = (op.summarise(f[op.reads(given.schema)], r, state) for f, r in parts)
        before = copy.deepcopy((a, b))
        merged = op.merge(a, b)
        assert_same((a, b), before, rel=0)
        unfinished, was = copy.deepcopy(merged), copy.deepcopy(state)
        op.finish(merged, state)
        assert_same(merged, unfinished, rel=0)
        assert_same(state, was, rel=0)
    state = fit(given, parts)
    was = copy.deepcopy(state)
    for frame, rows in parts:
        made(given, state, frame, rows)
        made(given, state, frame, rows, "transform_train")
    assert_same(state, was, rel=0)
    for now, then in [*frames, *arrays]:
        assert_same(device.to_host(now), then, rel=0)
    assert_same(dict(given.tables), tables, rel=0)
    assert op.model_dump() == dumped


def test_the_state_survives_json_and_parquet(given, device, tmp_path):
    state = fit(given, given.parts(3, device))
    text = json.dumps(stored.dump(state, tmp_path, 4), allow_nan=False)
    loaded = stored.load(json.loads(text), tmp_path)
    again = stored.dump(loaded, tmp_path / "again", 4)
    assert json.dumps(again) == text
    frame, rows = given.fresh(device)
    expected = made(given, state, frame, rows)
    pd.testing.assert_frame_equal(made(given, loaded, frame, rows), expected, check_exact=True)
    assert declared(given, loaded) == declared(given, state)


def test_the_entry_survives_yaml(given):
    settled = given.op.resolve_outputs(fit(given, given.parts(1)))
    for op in (given.op, settled):
        assert parse_op(json.loads(json.dumps(dump_op(op)))) == op


@pytest.mark.parametrize(
    "chosen", [c for c in CASES if c.op_name == "target_encode"], ids=lambda c: c.id
)
def test_new_rows_need_no_label(chosen):
    given = setting(chosen)
    state = fit(given, given.parts(1))
    frame, rows = given.fresh()
    assert rows.label is None
    assert len(made(given, state, frame, rows)) == len(frame)
