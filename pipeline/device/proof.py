"""Whether the GPU really computes: a few operations of each library in a process of their own.

A broken installation may crash the process or leave a CUDA context behind, so it is tried in a
child that is ended when it takes too long.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

SECONDS = 120.0

_PROGRAM = """
import json
import cudf, cupy, cuml, xgboost
assert int(cudf.Series([1, 2]).sum()) == 3, "cuDF adds wrongly"
assert int(cupy.arange(4).sum()) == 6, "CuPy adds wrongly"
assert xgboost.build_info()["USE_CUDA"], "this XGBoost is the CPU build: install xgboost-cu13"
print(json.dumps("proved"))
"""


@cache
def prove(seconds: float = SECONDS, program: str = _PROGRAM) -> str | None:
    """None when the GPU computes, else why not; asked once per process.

    Args:
        seconds: how long it may take (the imports alone take about 7 s).
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"the GPU did not answer within {seconds:.0f} s"
    except OSError as error:
        return f"no process could be started to try the GPU: {error}"
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines and lines[-1] == json.dumps("proved"):
        return None
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    last = said[-1][:300] if said else f"it ended with status {done.returncode}"
    return f"a first computation on the GPU failed: {last}"
