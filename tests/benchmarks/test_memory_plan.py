"""The memory plan lies within a factor of 1.5 of what a run takes, and its limit is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import memory_plan
from benchmarks.memory_plan import FULL

# Smaller: beside the libraries' 0.3 GB the data weigh about as much.
SMALL = {"tall": replace(FULL["tall"], rows=2_000_000, models=("xgboost",))}


def check(name, shape, tmp_path):
    found = memory_plan.run(name, shape, tmp_path)
    assert 1 / 1.5 < found["ratio"] < 1.5, found
    assert [s["stage"] for s in found["stages"]] == [s["stage"] for s in found["plan"]]
    limit = shape.config.get("memory", {}).get("host")
    if limit:
        assert found["measured"] < int(limit.removesuffix("MB")) * 10**6 + 500_000_000
        assert found["stages"][0]["notes"][0].startswith("streaming")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", SMALL)
def test_the_plan_of_small_data(name, tmp_path):
    check(name, SMALL[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_the_plan_of_every_shape(name, tmp_path):
    check(name, FULL[name], tmp_path)
