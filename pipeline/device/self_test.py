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
from pathlib import Path

from pipeline.device.probe import VISIBLE

SECONDS = 120.0


@cache
def check_gpu(seconds: float = SECONDS, program: str | None = None) -> str | None:
    """None when the GPU computes, else why not; asked once per process.

    Args:
        seconds: how long it may take (the imports alone take about 7 s).
    """
    problem = _tried(program or _program("first"), seconds, None)
    return problem and f"a first computation on the GPU failed: {problem}"


def check_libraries(gpu: str, seconds: float = SECONDS, program: str | None = None) -> str | None:
    """Each library in turn computes on this GPU (its UUID): None, or which fails and why."""
    return _tried(program or _program("each"), seconds, [gpu])


def check_nccl(
    gpus: Sequence[str], seconds: float = SECONDS, program: str | None = None
) -> str | None:
    """NCCL adds over these GPUs, which is what training on several does: None, or why not."""
    return _tried(program or _program("together"), seconds, gpus)


def _program(name: str) -> str:
    """The text of a program in the GPU's room; nothing of it is imported here."""
    return (Path(__file__).parent / "gpu" / "proofs" / f"{name}.py").read_text(encoding="utf-8")


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
