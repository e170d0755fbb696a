"""That the check which every op passes fails for an op with a mistake of the known kinds."""

import pytest
import test_conformance as suite
from arrays import NotOnTheDevice
from cases import CASES

from pipeline.features.ops.clip import Clip

CASE = next(c for c in CASES if c.id.startswith("clip"))
RIGHT = Clip.transform


def as_it_is(name, frame, made, device):
    return made[name]


def short_quotient(name, frame, made, device):
    """On cuDF a float32."""
    return made[name] + frame[name].notna().astype("int16") / 3


def nan_in_groups(name, frame, made, device):
    return made[name] + made.groupby(name, sort=True)[name].max().max() * 0


def index_of_times(name, frame, made, device):
    days = device.lib.DatetimeIndex(frame[name].isna().astype("int64"))
    return made[name] + days.snap("D").size * 0


def order_of_rows(name, frame, made, device):
    rows = made.reset_index()
    return rows.merge(rows[["index"]], on="index", how="left", sort=False)[name]


def from_the_host(name, frame, made, device):
    return device.make_series(device.to_host(made[name]).to_numpy(), "float64")


def not_in_cudf(name, frame, made, device):
    return made[name].transform(abs)


def clip_with(mistake):
    def transform(self, frame, state, rows):
        made = RIGHT(self, frame, state, rows)
        columns = {n: mistake(n, frame, made, rows.device) for n in frame.columns}
        return rows.device.make_frame(columns)

    return transform


def test_the_op_passes_without_a_mistake(monkeypatch):
    monkeypatch.setattr(Clip, "transform", clip_with(as_it_is))
    suite.test_every_op_uses_only_what_cudf_has(CASE, lambda frame: frame)


@pytest.mark.parametrize(
    "mistake",
    [short_quotient, nan_in_groups, index_of_times, order_of_rows, from_the_host, not_in_cudf],
    ids=lambda f: f.__name__,
)
def test_an_op_with_a_mistake_fails(monkeypatch, mistake):
    monkeypatch.setattr(Clip, "transform", clip_with(mistake))
    with pytest.raises((AssertionError, NotOnTheDevice)):
        suite.test_every_op_uses_only_what_cudf_has(CASE, lambda frame: frame)
