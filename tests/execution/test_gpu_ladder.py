"""A pool that is too small, on a GPU: the run goes down the ladder, and its metrics stay."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
from pipeline import Config, run
from pipeline.device.gpu import memory

out, limit = sys.argv[1], int(sys.argv[2]) or None
set_limit = memory.set_limit
memory.set_limit = lambda asked: set_limit(limit)  # the plan does not know of it
config = Config.load("conf/flights.yaml", ["device=auto", "refit=never", "cluster.dashboard=false",
                                           "models.xgboost.rounds=50"])
found = run(config, out=out)
print(json.dumps({
    "auc": {n: sets["test"]["roc_auc"] for n, sets in found.metrics["models"].items()},
    "peak": found.memory["device"]["measured"], "fell": found.fallbacks,
}))
"""


def ran(folder, limit=0):
    """The flights in a process of their own, whose pool hands out so many bytes."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(limit)],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.gpu
@pytest.mark.parametrize("share", [0.8, 0.5, 0.2])
def test_a_small_pool_gives_the_same_metrics(tmp_path, share):
    planned = ran(tmp_path / "planned")
    assert planned["fell"] == []
    small = ran(tmp_path / "small", int(planned["peak"] * share))
    assert small["fell"]
    assert small["auc"] == pytest.approx(planned["auc"], abs=0.002)
    assert not (tmp_path / "small" / "tmp").exists()
