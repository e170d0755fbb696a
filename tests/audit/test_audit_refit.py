"""Refitting with other held-out rows: the training rows stay, the others hold what no row held."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.audit import refit
from pipeline.audit.refit import SampledRun
from pipeline.device import cpu, dtype_of
from pipeline.features.engine.transform import TransformContext
from pipeline.features.try_op import make_frame
from pipeline.matrix import Target
from pipeline.schema import LABEL, SET, WEIGHT

TARGETS = {
    "binary": Target("binary", (False, True)),
    "multiclass": Target("multiclass", ("a", "b", "c")),
    "regression": Target("regression"),
}


def sampled(task="binary", n=400):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "text": rng.choice(["a", "ü", "", None], n),
            "number": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "infinite": np.where(rng.random(n) < 0.1, np.inf, 1.0),
            "edge": pd.Series(rng.choice([-(2**63), 2**63 - 1, 0], n), dtype="Int64"),
            "small": pd.Series(rng.integers(0, 9, n), dtype="Int64").mask(rng.random(n) < 0.1),
            "flag": pd.Series(rng.random(n) < 0.5, dtype="boolean"),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 99, n), unit="D"),
            "kept": rng.normal(size=n),
            "missing": np.full(n, np.nan),
        }
    )
    _, storage = make_frame(frame)
    label = rng.normal(size=n) if task == "regression" else rng.integers(0, 2, n) * 1.0
    own = {
        LABEL: cpu.make_series(label, "float64"),
        SET: cpu.make_series(rng.choice([0, 0, 1, 2], n).astype("int32"), "int32"),
        WEIGHT: cpu.make_series(rng.random(n), "float64"),
    }
    whole = storage.assign(**own)
    whole.index = pd.Index(np.arange(n) * 3, dtype="int64")
    context = TransformContext("cpu", 0, task, len(TARGETS[task].classes))
    rows = type("Rows", (), {"target": TARGETS[task], "context": context})()
    return SampledRun(None, rows, whole)


@pytest.mark.parametrize("task", TARGETS)
def test_only_held_out_rows_are_disturbed_and_all_of_them_in_label(task):
    of = sampled(task)
    made = refit.perturb_held_out_rows(of, fixed={"kept"}, tame={"small"}).frame
    held, before = ~of.training_mask, of.frame
    assert list(made.columns) == list(before.columns) and made.index.equals(before.index)
    for name in before.columns:
        assert dtype_of(made[name]) == dtype_of(before[name]), name
        a, b = (f[name].astype("object")[~held] for f in (made, before))
        pd.testing.assert_series_equal(a, b, check_names=False)
    assert (made[LABEL] != before[LABEL])[held].all()
    assert (made[WEIGHT] != before[WEIGHT])[held].all()
    pd.testing.assert_series_equal(made["kept"], before["kept"])
    pd.testing.assert_series_equal(made[SET], before[SET])
    for name in ("text", "number", "when", "flag"):
        one, other = (f[name].astype("str") for f in (made, before))
        assert (one != other)[held].mean() > 0.3, name


def test_every_second_one_is_beyond_all_rows_unless_an_op_refuses_that():
    of = sampled()
    made, held = (
        refit.perturb_held_out_rows(of, fixed=set(), tame={"small"}).frame,
        ~of.training_mask,
    )
    assert (made["text"][held] == refit.WORD).mean() == pytest.approx(0.5, abs=0.01)
    assert made["number"][held].max() > of.frame["number"].max()
    assert made["when"].max() > of.frame["when"].max()
    assert made["small"].max() == of.frame["small"].max(), "as told"
    assert made["edge"].max() == 2**63 - 1, "there is nothing beyond"
    assert (made["missing"][held] == 1).sum() > 0


def test_states_are_compared_to_the_bit():
    state = {
        "a": [1, 2.0, {"b": float("nan")}], "t": pd.DataFrame({"x": [1.0, np.nan]}), "n": None,
    }  # fmt: skip
    same = {
        "a": [1, 2.0, {"b": float("nan")}], "t": pd.DataFrame({"x": [1.0, np.nan]}), "n": None,
    }  # fmt: skip
    assert list(refit._differences(state, same, "state")) == []
    for change, where in [
        ({"a": [1, np.nextafter(2.0, 3), {"b": float("nan")}]}, "state.a[1]"),
        ({"a": [1, 2.0, {"b": 0.0}]}, "state.a[2].b"),
        ({"a": [1.0, 2.0, {"b": float("nan")}]}, "state.a[0]"),
        ({"t": pd.DataFrame({"x": [1.0, 2.0]})}, "state.t"),
        ({"n": 0}, "state.n"),
    ]:
        assert list(refit._differences(state, {**same, **change}, "state")) == [where]
    assert list(refit._differences({"a": 1}, {"b": 1}, "state")) == ["state"]
