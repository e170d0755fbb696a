"""Stamps of passed self-tests, so that a command does not repeat what another one just tested.

A stamp is a small file in the user's cache folder. It counts for a day, and only for the same boot,
driver, GPUs, libraries and interpreter. Whatever is wrong with a stamp, the GPU is tested again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

from pipeline.device.probe import Probe
from pipeline.versions import XGBOOST_PACKAGES, find_versions

LIFETIME = 24 * 3600.0
"""Seconds for which a stamp counts."""
MAX_BYTES = 1 << 16
"""Most bytes that are read of a stamp."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PACKAGES = (
    "cudf-cu13", "cudf-cu12", "cuml-cu13", "cuml-cu12", "rmm-cu13", "rmm-cu12", "cupy-cuda13x",
    "cupy-cuda12x", "numpy", "pandas", "pyarrow", *XGBOOST_PACKAGES,
)  # fmt: skip
"""Distributions whose change makes a new test necessary."""


def describe_machine(probe: Probe) -> str:
    """Return, as JSON, everything that a passed self-test depends on; "" if it cannot be known."""
    try:
        boot = BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:  # other systems lack the file, and a stamp could outlive a restart
        return ""
    facts = {
        "boot": boot,
        "driver": probe.driver,
        "gpus": [gpu.uuid for gpu in probe.gpus],
        "packages": find_versions(PACKAGES),
        "python": [sys.version, sys.prefix],
        "library_path": os.environ.get("LD_LIBRARY_PATH", ""),
    }
    return json.dumps(facts, sort_keys=True)


def find_folder() -> Path:
    """Return the folder of the stamps, in the user's cache folder (``XDG_CACHE_HOME``)."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The standard ignores relative paths, which would depend on the working directory.
    return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "pipeline"


def is_stamped(machine: str) -> bool:
    """Return whether this user tested this machine (`describe_machine`) within the last day."""
    try:
        with open(_find_path(machine), "rb", opener=_open_nofollow) as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return False  # another user's: anyone may write to a shared cache folder
            stamp = json.loads(file.read(MAX_BYTES))
        age = time.time() - stamp["time"]
        return bool(stamp["machine"] == machine and 0 <= age < LIFETIME)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):
        return False


def write_stamp(machine: str) -> None:
    """Stamp a machine as tested now; without a writable cache folder, do nothing."""
    stamp = json.dumps({"machine": machine, "time": time.time()})
    with suppress(OSError, RuntimeError):
        path = _find_path(machine)
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob("gpu-*.json"):
            if time.time() - old.stat().st_mtime > LIFETIME:
                old.unlink()
        # under a name of its own first: another process may read or write the stamp meanwhile
        beside = path.with_name(f".gpu-{uuid.uuid4().hex}")
        try:
            beside.write_text(stamp, encoding="utf-8")
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


def discard_stamps() -> None:
    """Remove all stamps, because a GPU has failed: the next command tests it again."""
    with suppress(OSError, RuntimeError):
        for path in find_folder().glob("gpu-*.json"):
            path.unlink()


def _find_path(machine: str) -> Path:
    """Return a machine's own stamp: workers of one host see different GPUs."""
    return find_folder() / f"gpu-{hashlib.sha256(machine.encode()).hexdigest()[:16]}.json"


def _open_nofollow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
