"""New rows scored on a device, and a parity's rows brought to the host, behind the stand-ins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cases import CASES, setting
from conformance import Findings, masked, wrap
from conforming import ConformingDevice, assert_on_the_host

from pipeline.device import cpu
from pipeline.device.choose import DeviceChoice
from pipeline.features.engine import transform
from pipeline.features.engine.fit import FittedPlan
from pipeline.features.registry import parse_op
from pipeline.matrix import Feature, Matrix, Target
from pipeline.parity import device_run
from pipeline.predict import scorer
from pipeline.predict.scorer import Scorer
from pipeline.train.model import FittedModel


@pytest.fixture(params=["plain", "nullable"])
def form(request):
    return masked if request.param == "nullable" else lambda frame: frame


@pytest.fixture
def given():
    return setting(CASES[0])


@pytest.fixture
def stand_in(monkeypatch):
    device = ConformingDevice(Findings())
    for module in (scorer, transform, device_run):
        monkeypatch.setattr(module, "frames_of", lambda name: device if name == "stand-in" else cpu)
    return device


def scorer_on(name, schema):
    steps, current = [], schema
    for entry in ({"derive": {"y": "lat + `a.b c`"}}, {"drop": ["none"]}):
        op = parse_op(entry)
        steps.append(transform.Step(op, current, op.prepare(current, {}), done=True))
        current = op.output_schema(current)
    features = tuple(Feature(n, "c" if n == "code" else "q") for n in ("y", "x", "lat", "code"))
    plan = FittedPlan(schema, tuple(steps), features, filters=("code > 0",))
    model = FittedModel(
        "m", Target("regression"), features, score=lambda x: x[:, 0] + x[:, 3], content=None,
        importances={}, rounds=0, history={}, notes=(), device="cpu", details={},
    )  # fmt: skip
    context = transform.TransformContext(name, 0, "regression", 0, predicting=True)
    return Scorer(Path(), plan, model, {}, context, DeviceChoice(name, name, "a test"))


def test_new_rows(given, stand_in, form):
    expected = scorer_on("cpu", given.schema).predict_storage(given.host)
    on_device = wrap(form(given.host), stand_in.findings)
    made = scorer_on("stand-in", given.schema).predict_storage(on_device)
    assert_on_the_host(made)
    pd.testing.assert_frame_equal(made, expected)
    assert 0 < expected["prediction"].isna().sum() < len(expected)  # filtered
    assert stand_in.findings.errors == []


def test_rows_and_matrices_of_a_parity(given, stand_in, form):
    expected = device_run.host_frame(given.host, 3, "cpu")
    made = device_run.host_frame(wrap(form(given.host), stand_in.findings), 3, "stand-in")
    assert_on_the_host(made)
    pd.testing.assert_frame_equal(form(made), form(expected))
    assert {device_run.FOLD, device_run.SAMPLE} <= set(made.columns)
    x, ids = np.arange(6, dtype="float32").reshape(3, 2), np.array([5, 3, 9])
    found = {"train": (x, ids), "test": (x + 10, ids + 10)}
    matrices = {
        n: Matrix(stand_in.to_device(a), None, None, stand_in.to_device(i))
        for n, (a, i) in found.items()
    }
    made = device_run.host_matrix(matrices, ["p", "q"], "stand-in")
    assert_on_the_host(made)
    assert made.index.tolist() == [5, 3, 9, 15, 13, 19]
    assert made["q"].tolist() == [1, 3, 5, 11, 13, 15]
    assert stand_in.findings.errors == []
