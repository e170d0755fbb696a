"""Whether GPUs really compute: a few operations of each library in a process of their own.

A broken installation may crash the process or leave a CUDA context behind, so it is tried in a
child that is ended when it takes too long. Each program says which library's turn it is, so that
what crashed or hung has a name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache

from pipeline.device.probe import VISIBLE

SECONDS = 120.0

_PROGRAM = """
import json
import cudf, cupy, cuml, xgboost
assert int(cudf.Series([1, 2]).sum()) == 3, "cuDF adds wrongly"
assert int(cupy.arange(4).sum()) == 6, "CuPy adds wrongly"
assert xgboost.build_info()["USE_CUDA"], "this XGBoost is the CPU build: install xgboost-cu13"
print(json.dumps("proved"))
"""

_EACH = """
import json
def turn(name): print("turn:" + name, flush=True)
turn("CuPy")
import cupy
ones = cupy.ones((512, 512), dtype=cupy.float32)
assert float((ones @ ones).sum()) == 512.0 ** 3, "CuPy multiplies wrongly"
turn("cuDF")
import cudf
frame = cudf.DataFrame({"k": [0, 1, 0, 1], "v": [1.0, 2.0, 3.0, 4.0]})
sums = frame.groupby("k", sort=True)["v"].sum().to_numpy().tolist()
assert sums == [4.0, 6.0], "cuDF adds wrongly"
turn("XGBoost")
import xgboost
assert xgboost.build_info()["USE_CUDA"], "this XGBoost is the CPU build: install xgboost-cu13"
x = cupy.arange(400, dtype=cupy.float32).reshape(200, 2)
y = (x[:, 0] > 200).astype(cupy.float32)
asked = {"device": "cuda", "objective": "binary:logistic", "max_depth": 2}
booster = xgboost.train(asked, xgboost.QuantileDMatrix(x, y), num_boost_round=2)
used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
assert used.startswith("cuda"), "XGBoost trained on " + used
turn("cuML")
from cuml.ensemble import RandomForestClassifier
forest = RandomForestClassifier(n_estimators=2, max_depth=2, n_bins=8, random_state=0)
right = float((forest.fit(x, y.astype(cupy.int32)).predict(x) == y).mean())
assert right > 0.8, "cuML's forest is right for " + str(right) + " of its own rows"
print(json.dumps("proved"))
"""

_TOGETHER = """
import json
def turn(name): print("turn:" + name, flush=True)
turn("NCCL")
import cupy
from cupy.cuda import Device, Stream, nccl
count = cupy.cuda.runtime.getDeviceCount()
comms = nccl.NcclCommunicator.initAll(count)
held = []
for at in range(count):
    with Device(at):
        held.append(cupy.full(1 << 20, at + 1, dtype=cupy.float32))
nccl.groupStart()
for at, (comm, own) in enumerate(zip(comms, held)):
    with Device(at):
        comm.allReduce(own.data.ptr, own.data.ptr, own.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM,
                       Stream.null.ptr)
nccl.groupEnd()
for at, own in enumerate(held):
    with Device(at):
        assert float(own.min()) == float(own.max()) == count * (count + 1) / 2, "wrong sums"
print(json.dumps("proved"))
"""


@cache
def prove(seconds: float = SECONDS, program: str = _PROGRAM) -> str | None:
    """None when the GPU computes, else why not; asked once per process.

    Args:
        seconds: how long it may take (the imports alone take about 7 s).
    """
    problem = _tried(program, seconds, None)
    return problem and f"a first computation on the GPU failed: {problem}"


def prove_one(gpu: str, seconds: float = SECONDS, program: str = _EACH) -> str | None:
    """Each library in turn computes on this GPU (its UUID): None, or which fails and why."""
    return _tried(program, seconds, [gpu])


def prove_together(
    gpus: Sequence[str], seconds: float = SECONDS, program: str = _TOGETHER
) -> str | None:
    """NCCL adds over these GPUs, which is what training on several does: None, or why not."""
    return _tried(program, seconds, gpus)


def _tried(program: str, seconds: float, gpus: Sequence[str] | None) -> str | None:
    environ = os.environ if gpus is None else {**os.environ, VISIBLE: ",".join(gpus)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], env=environ,
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""  # bytes even with text=True (CPython issue 87597)
        turn = _turn(output.decode() if isinstance(output, bytes) else output)
        return f"{turn}no answer within {seconds:.0f} s"
    except OSError as error:
        return f"no process could be started: {error}"
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines and lines[-1] == json.dumps("proved"):
        return None
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    last = said[-1][:300] if said else f"it ended with status {done.returncode}"
    return f"{_turn(done.stdout)}{last}"


def _turn(output: str) -> str:
    """``cuDF: ``, whose turn it was; nothing where the program does not say."""
    turns = [line for line in output.splitlines() if line.startswith("turn:")]
    return f"{turns[-1].removeprefix('turn:')}: " if turns else ""
