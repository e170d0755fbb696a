"""Self-tests of GPUs: a few operations of each library, in a process of their own.

A broken installation may crash the process or leave a CUDA context behind. So the test runs in a
child process, which is killed if it takes too long. Each program prints which library's turn it is,
so that the message can name the one that crashed or hung. A passed test is stamped
(`pipeline.device.stamp`): for a day, commands do without the child process and its imports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pipeline.device import stamp
from pipeline.device.probe import VISIBLE, Probe

SECONDS = 120.0


def check_gpu(probe: Probe, seconds: float = SECONDS, program: str | None = None) -> str | None:
    """Return None if the GPU computes or did so within a day, else the problem.

    Args:
        probe: the driver and the GPUs to test, of which the first one computes.
        seconds: time limit.
        program: source to run instead of the quick test.
    """
    return _check_once(stamp.describe_machine(probe), seconds, program)


@cache
def _check_once(machine: str, seconds: float, program: str | None) -> str | None:
    """Test the machine unless it is stamped; once per process, also if the test fails."""
    if machine and stamp.is_stamped(machine):
        return None
    if problem := _run_program(program or _read_program("quick"), seconds, None):
        return f"a first computation on the GPU failed: {problem}"
    if machine:
        stamp.write_stamp(machine)
    return None


def check_libraries(gpu: str, seconds: float = SECONDS, program: str | None = None) -> str | None:
    """Test each library on a GPU (its UUID); return None, or the library that fails and why.

    It never relies on a stamp, and removes the stamps if the test fails.
    """
    problem = _run_program(program or _read_program("libraries"), seconds, [gpu])
    if problem:
        stamp.discard_stamps()
    return problem


def check_nccl(
    gpus: Sequence[str], seconds: float = SECONDS, program: str | None = None
) -> str | None:
    """Test the sums over several GPUs that training needs; return None, or the problem."""
    return _run_program(program or _read_program("nccl"), seconds, gpus)


def _read_program(name: str) -> str:
    # as text: an import would load the GPU's libraries in this process
    path = Path(__file__).parent / "gpu" / "self_tests" / f"{name}.py"
    return path.read_text(encoding="utf-8")


def _run_program(program: str, seconds: float, gpus: Sequence[str] | None) -> str | None:
    environ = os.environ if gpus is None else {**os.environ, VISIBLE: ",".join(gpus)}
    try:
        result = subprocess.run(
            [sys.executable, "-c", program],
            env=environ,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""  # bytes even with text=True (CPython issue 87597)
        turn = _find_turn(output.decode() if isinstance(output, bytes) else output)
        return f"{turn}no answer within {seconds:.0f} s"
    except OSError as error:
        return f"no process could be started: {error}"
    lines = result.stdout.strip().splitlines()
    # exit status 0 is not enough: a library may end the process early
    if result.returncode == 0 and lines and lines[-1] == json.dumps("passed"):
        return None
    errors = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    last = errors[-1][:300] if errors else f"it ended with status {result.returncode}"
    return f"{_find_turn(result.stdout)}{last}"


def _find_turn(output: str) -> str:
    """Return whose turn it was, as in ``cuDF: ``; "" if the program does not print it."""
    turns = [line for line in output.splitlines() if line.startswith("turn:")]
    return f"{turns[-1].removeprefix('turn:')}: " if turns else ""
