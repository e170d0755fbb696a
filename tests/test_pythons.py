"""The tests of training and of whole runs on newer versions of Python, which get another XGBoost.

Slow: each version installs its own environment, and takes as long as these tests take here.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from interpreters import find_interpreter

ROOT = Path(__file__).parents[1]
SUITES = ("train", "contract", "execution", "end_to_end")
VARIABLES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_tests_pass_on_a_newer_python(version, tmp_path):
    interpreter = find_interpreter(version)
    if interpreter is None:
        pytest.skip(f"this machine has no Python {version}")
    environ = {k: v for k, v in os.environ.items() if k not in VARIABLES}

    def call(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
        return done.stdout

    call(interpreter, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    call(python, "-m", "pip", "install", "-q", "-c", "constraints.txt", ".[cpu,test]")
    versions = call(python, "-c", "import sys, xgboost; print(sys.version, xgboost.__version__)")
    assert versions.startswith(f"{version}.") and versions.split()[-1].startswith("3.4.")
    suites = [f"tests/{suite}" for suite in SUITES]
    print(call(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites).splitlines()[-1])
