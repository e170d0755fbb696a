"""The GPU's own functions under every op over random frames: to the bit what the CPU's make."""

import pytest
from hypothesis import HealthCheck, given, reject, settings
from laws import REL, assert_same, bits, fit, made
from trials import trials

from pipeline.errors import DataError
from pipeline.features.registry import REGISTRY

MANY = 80
UNDERFLOW = 1e-150  # as in tests/contract/test_laws.py


@pytest.mark.slow
@pytest.mark.parametrize("name", list(REGISTRY))
def test_both_devices_make_the_same(name, gpu):
    @settings(max_examples=MANY, suppress_health_check=list(HealthCheck))
    @given(trials(name))
    def holds(trial):
        setting, here = trial.given, trial.parts(0)
        there = [(gpu.to_device(frame), setting.rows(rows.ids, gpu)) for frame, rows in here]
        state = _or_refusal(fit, setting, here)
        found = _or_refusal(fit, setting, there)
        if state is None or found is None:
            assert state is found
            reject()
        assert_same(found, state, floor=REL * trial.scale + UNDERFLOW)
        for (a, a_rows), (b, b_rows) in zip(there, here, strict=True):
            for step in ("transform", "transform_train"):
                one = _or_refusal(made, setting, state, a, a_rows, step)
                other = _or_refusal(made, setting, state, b, b_rows, step)
                assert (one is None) == (other is None)
                if one is not None:
                    assert bits(one.apply(_plainly)) == bits(other.apply(_plainly))

    holds()


def _or_refusal(function, *arguments):
    try:
        return function(*arguments)
    except DataError:
        return None


def _plainly(column):
    return column.astype(object) if column.dtype.name == "category" else column
