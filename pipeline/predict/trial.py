"""A run without a manifest, opened first by a child process, which may crash or hang in our place.

A damaged Treelite checkpoint can do both to whoever opens it, or fill the memory. The child
(`pipeline.predict.limited`) has limits and none of this process's secrets. What it says of the
files then stands in for the manifest, so that this process opens the very bytes that the child has.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pipeline
from pipeline.errors import InputError, shorten

CHILD = "pipeline.predict.limited"
SECONDS = 120
"""Of the wall's clock; half of it of the processor's. Flights take 6 s, the imports among them."""
KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONHOME",
)  # fmt: skip
"""Variables that the child has: none that may be a secret."""


def passed(run: Path, model: str, seconds: float = SECONDS) -> dict[str, Any]:
    """What stands in for the manifest of a run that a child process has opened.

    Raises:
        InputError: it could not; what happened to it.
    """
    command = [sys.executable, "-P", "-m", CHILD, str(run.absolute()), model, str(seconds)]
    try:
        done = subprocess.run(
            command, env=_environment(), capture_output=True, timeout=seconds, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _failed(run, f"it was not done after {seconds:.0f} s") from None
    try:
        said = json.loads(done.stdout)
    except ValueError:
        said = {}
    if "refused" in said:
        raise InputError(said["refused"], fix=said["fix"])
    if done.returncode == 0 and "manifest" in said:
        manifest: dict[str, Any] = said["manifest"]
        return manifest
    if done.returncode < 0:
        raise _failed(run, f"it ended by {signal.Signals(-done.returncode).name}")
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    raise _failed(run, shorten(lines[-1]) if lines else f"it ended with {done.returncode}")


def _failed(run: Path, what: str) -> InputError:
    return InputError(
        f"{run} is damaged, or made to do harm: a child process tried to open it, and {what}",
        fix="restore the run with its manifest, or run the config again",
    )


def _environment() -> dict[str, str]:
    own = str(Path(pipeline.__file__).parents[1])
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    # one thread, and no pool that reserves addresses beforehand: they count as memory
    few = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pool = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    return {**kept, **few, **pool, "PYTHONPATH": os.pathsep.join([own, *given])}
