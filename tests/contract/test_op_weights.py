"""Row weights in every fitted op, on the path of a run: labels assigned, then ops fitted.

`test_laws` has the laws over random frames: rows of weight 0 change nothing, and whole weights are
repeated rows. Both take in every op of the registry with a fitted state, those to come included.
"""

import inspect
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from cases import CASES, TASKS, setting
from laws import EACH_ROW_ONCE, as_floats, assert_same, fit

from pipeline.config.model import Split
from pipeline.expression import column_expression
from pipeline.features.engine import transform
from pipeline.features.registry import get_op_class
from pipeline.ingest.labels import assign
from pipeline.matrix import Target

FITTED = [c for c in CASES if not c.weighted and setting(c).op.requires_fit]
COUNTING = [c for c in FITTED if c.op_name not in EACH_ROW_ONCE]
WEIGHT, LABEL = "\N{SCALES}", "\N{DIRECT HIT}"


def every_third(n):
    """float64 (n,): 0 in every third row, else with a mean of 1: below it if the zeros counted."""
    return np.where(np.arange(n) % 3 == 1, 0.0, (1 + np.arange(n) % 7) / 4)


def fitted_by_a_run(given, host, label, weights):
    """The state, fitted as a run does on these rows with their positions as ids."""
    frame = host.assign(**{LABEL: label, WEIGHT: weights})
    task = given.case.task
    spec = assign.LabelSpec(
        "cpu", column_expression(LABEL), (), Split(), 3, 1.0, WEIGHT, tuple(host.columns)
    )
    target = Target(task, tuple(float(i) for i in range(TASKS[task])))
    context = transform.TransformContext("cpu", 3, task, TASKS[task], given.case.sample_rate)
    parts = [frame.iloc[i::2] for i in (0, 1)] if not given.case.together else [frame]
    rows = [assign.assign_labels(part, spec, target, None) for part in parts]
    state = given.op.prepare(given.schema, given.tables)
    for _ in range(given.op.n_passes):
        step = transform.Step(given.op, given.schema, state, False)
        summaries = [transform.summarise_steps(r, [step], [0], context)[0] for r in rows]
        state = given.op.finish(reduce(given.op.merge, summaries), state)
    return state


@pytest.mark.parametrize("chosen", FITTED, ids=lambda c: c.id)
def test_a_run_fits_the_same_state_whatever_rows_of_weight_0_hold(chosen):
    given = setting(chosen)
    n = len(given.host)
    weights, order = every_third(n), np.arange(n)
    state = fitted_by_a_run(given, given.host, given.label, weights)
    zero = np.flatnonzero(weights == 0)
    order[zero] = np.roll(zero, 5)  # their values and labels change places
    mixed = given.host.iloc[order].set_axis(given.host.index)
    assert_same(fitted_by_a_run(given, mixed, given.label[order], weights), state, rel=0)
    kept = weights > 0
    left = fitted_by_a_run(given, given.host[kept], given.label[kept], weights[kept])
    assert_same(left, state, rel=1e-12)


@pytest.mark.parametrize("chosen", COUNTING, ids=lambda c: c.id)
def test_an_op_alone_skips_rows_of_weight_0(chosen, device):
    given = setting(chosen)
    weights = every_third(len(given.host))

    def fitted(at):
        frame, rows = given.part(at, device)
        return fit(given, [(frame, replace(rows, weight=device.to_device(weights[at])))])

    every = np.arange(len(weights))
    assert_same(fitted(every), fitted(every[weights > 0]))


def test_every_op_whose_weights_count_has_a_weighted_case():
    """`test_contract` and the conformance suites run these cases as all others."""
    weighted = {c.op_name for c in CASES if c.weighted}
    assert weighted == {c.op_name for c in COUNTING}


@pytest.mark.parametrize("chosen", COUNTING, ids=lambda c: c.id)
def test_op_weights_of_1_are_no_weights(chosen):
    given = setting(chosen)
    parts = given.parts(3)
    ones = [(f, replace(r, weight=np.ones(len(f)))) for f, r in parts]
    assert_same(as_floats(fit(given, ones)), as_floats(fit(given, parts)))


def test_some_weight_matters_to_every_op():
    """The laws would hold of an op that ignores weights and sees no difference."""
    for name in {c.op_name for c in COUNTING}:
        changed = 0
        for chosen in (c for c in COUNTING if c.op_name == name):
            given = setting(chosen)
            frame, rows = given.part(np.arange(len(given.host)))
            heavy = replace(rows, weight=np.where(np.arange(len(frame)) < 40, 9.0, 1.0))
            try:
                assert_same(
                    as_floats(fit(given, [(frame, heavy)])), as_floats(fit(given, [(frame, rows)]))
                )
            except AssertionError:
                changed += 1
        assert changed, name


UNIT_FREE = [
    {"fill": {"columns": ["x", "a.b c"], "with": "mean"}},
    {"fill": {"columns": ["x", "a.b c"], "with": "median"}},
    {"fill": {"columns": ["text é"], "with": "most_frequent"}},
    {"scale": {"columns": ["x"], "method": "standard"}},
    {"scale": {"columns": ["x"], "method": "robust"}},
    {"bucket": {"columns": ["x", "a.b c"], "quantiles": 7}},
    {"one_hot": {"columns": ["text é"], "max_values": 3}},
    {"aggregate": {"by": ["text é"], "columns": ["x"], "stats": ["mean", "min", "max"]}},
]


@pytest.mark.parametrize("entry", UNIT_FREE, ids=str)
def test_the_unit_of_the_weights_does_not_matter(entry):
    """The docstrings name what has a unit: counts, sums, smoothing, std of groups, min_count."""
    given = setting(replace(CASES[0], entry=entry))
    frame, rows = given.part(np.arange(len(given.host)))
    weights = (1 + np.arange(len(frame)) % 7) / 8
    states = [
        fit(given, [(frame, replace(rows, weight=weights * unit))]) for unit in (1, 1e-9, 1e-18)
    ]
    assert_same(states[1], states[0])
    assert_same(states[2], states[0])


@pytest.mark.parametrize("name", sorted({c.op_name for c in FITTED}))
def test_the_docstring_says_how_weights_count(name):
    text = " ".join(inspect.getsource(get_op_class(name)).lower().split())
    assert ("whatever its weight" if name in EACH_ROW_ONCE else "with row weights") in text
