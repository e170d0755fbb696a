"""The laws of every op over random frames (`wild`): what `test_contract` asks of chosen ones.

By default a few examples of each, the same ones every time; with ``-m slow`` `MANY`.
"""

from __future__ import annotations

import json
import tempfile
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, reject, settings
from laws import EACH_ROW_ONCE, REL, as_floats, assert_same, bits, declared, fit, made
from trials import trials
from wild_ops import ENTRIES

from pipeline.errors import DataError
from pipeline.features.engine import state_io as stored
from pipeline.features.registry import REGISTRY, get_op_class

FEW, MANY = 6, 200
UNDERFLOW = 1e-150
"""Squares of smaller numbers have no digits left: what is summed of them is only about 0."""


def fitted(trial, parts, merging=None):
    """The state; a refusal with a message will do."""
    try:
        return fit(trial.given, parts, merging)
    except DataError as error:
        assert error.message and error.fix
        reject()


def same_state(trial, one, other):
    """To the bit for counts, codes and texts; numbers that are sums, to 1e-12 of what was summed."""
    assert_same(one, other, floor=REL * trial.scale + UNDERFLOW)


def merging_commutes(trial):
    merge = trial.given.op.merge
    parts = trial.parts(0)
    forth = fitted(trial, parts)
    same_state(trial, fitted(trial, parts, lambda s: reduce(lambda a, b: merge(b, a), s)), forth)
    same_state(trial, fitted(trial, parts, lambda s: reduce(merge, s[::-1])), forth)


def merging_associates(trial):
    merge = trial.given.op.merge
    parts = trial.parts(0)
    left = fitted(trial, parts)
    same_state(
        trial, fitted(trial, parts, lambda s: reduce(lambda b, a: merge(a, b), s[::-1])), left
    )


def partitions_do_not_matter_to_the_state(trial):
    whole = fitted(trial, [trial.whole()])
    for which in (0, 1):
        same_state(trial, fitted(trial, trial.parts(which)), whole)


def partitions_do_not_matter_to_the_values(trial):
    """Fitted on some rows, all of them come: those that were not seen among them."""
    state = fitted(trial, [trial.whole(trial.seen)])
    columns = declared(trial.given, state)
    for step in ("transform", "transform_train"):
        frame, rows = trial.whole()
        whole = made(trial.given, state, frame, rows, step)
        assert list(whole.columns) == [c.name for c in columns]
        assert len(whole) == len(frame) or not columns
        for which in (0, 1):
            parts = trial.parts(which)
            order = np.concatenate([r.ids for _, r in parts]).argsort()
            pieces = [made(trial.given, state, f, r, step) for f, r in parts]
            assert all(list(p.columns) == [c.name for c in columns] for p in pieces)
            for name in whole.columns:
                values = pd.concat([_plain(p[name]) for p in pieces], ignore_index=True)
                expected = _plain(whole[name])
                assert bits(values[order].astype(expected.dtype)) == bits(expected), (step, name)


def _plain(series):
    return series.astype(object) if series.dtype.name == "category" else series


def the_state_is_the_same_once_it_was_stored(trial):
    state = fitted(trial, trial.parts(0))
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(stored.dump(state, Path(folder), 0), allow_nan=False)
        loaded = stored.load(json.loads(text), Path(folder))
        again = json.dumps(stored.dump(loaded, Path(folder) / "again", 0), allow_nan=False)
    assert again == text
    assert bits(loaded) == bits(_listed(state))
    frame, rows = trial.whole()
    one, other = (made(trial.given, s, frame, rows) for s in (state, loaded))
    assert bits(one) == bits(other)


def _listed(value):
    """JSON has lists for tuples."""
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items()}
    return [_listed(one) for one in value] if isinstance(value, list | tuple) else value


def rows_of_weight_zero_change_nothing(trial):
    some = np.flatnonzero(trial.weights > 0)
    state = fitted(trial, [trial.weighted(np.arange(len(trial.weights)))])
    same_state(trial, state, fitted(trial, [trial.weighted(some)]))


def whole_weights_are_repeated_rows(trial):
    some = np.flatnonzero(trial.weights > 0)
    repeated = np.repeat(some, trial.weights[some].astype("int64"))
    weighted = fitted(trial, [trial.weighted(at) for at in np.array_split(some, 2)])
    plain = fitted(trial, [trial.given.part(repeated)])
    same_state(trial, as_floats(weighted), as_floats(plain))


OF_MERGING = (merging_commutes, merging_associates, partitions_do_not_matter_to_the_state)
OF_WEIGHTS = (rows_of_weight_zero_change_nothing, whole_weights_are_repeated_rows)
OF_ALL = (partitions_do_not_matter_to_the_values, the_state_is_the_same_once_it_was_stored)


def learns(name):
    """Whether the op has something to merge, with some of its parameters."""
    return get_op_class(name).requires_fit is not False


LAWS = [
    pytest.param(law, name, id=f"{name}-{law.__name__}")
    for name in REGISTRY
    for law in (
        *(OF_MERGING if learns(name) else ()),
        *(OF_WEIGHTS if learns(name) and name not in EACH_ROW_ONCE else ()),
        *OF_ALL,
    )
]


def checked(law, name, count):
    """Tries the law on so many random trials of the op."""

    @settings(max_examples=count, suppress_health_check=list(HealthCheck))
    @given(trials(name))
    def holds(trial):
        law(trial)

    holds()


def test_every_op_has_a_strategy():
    assert set(ENTRIES) == set(REGISTRY)


@pytest.mark.parametrize(("law", "name"), LAWS)
def test_the_law_holds(law, name):
    checked(law, name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize(("law", "name"), LAWS)
def test_the_law_holds_for_many(law, name):
    checked(law, name, MANY)
