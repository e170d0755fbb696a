"""Compose, the manifests and the dashboard's queries against their own schemas and grammars.

Slow: the schemas come with packages that nothing else needs, installed beside for the test.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ["compose-spec==0.2.1", "kubernetes-validate==1.37.0", "promql-parser==0.11.0"]
OPERATOR = "dask-kubernetes==2026.3.0"  # its resource definitions; it is never run
CHECK = Path(__file__).with_name("check_schemas.py")


@pytest.mark.slow
def test_all_files_meet_their_schemas(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    python = tmp_path / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *PACKAGES], check=True)
    subprocess.run([*pip, "--no-deps", OPERATOR], check=True)
    done = subprocess.run([python, CHECK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    valid = [line for line in done.stdout.splitlines() if line.startswith("valid: ")]
    assert sum(".yaml" in line for line in valid) == 11  # compose, 4 manifests, the pods of two
    assert len(valid) > 25
