"""A run without a manifest, opened first by a child process, which may crash or hang in our place.

A damaged Treelite checkpoint can do both to whoever opens it, or fill the memory. The child has
limits and none of this process's secrets. It opens the run as `predict` does, scores its golden
rows, and looks at every node of every tree. What it says of the files then stands in for the
manifest, so that this process opens the very bytes that the child has.

The limits hold on Linux; macOS knows no limit on memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pipeline
from pipeline import sealed
from pipeline.errors import InputError, PipelineError, shorten

SECONDS = 120
"""Of the wall's clock; half of it of the processor's. Flights take 6 s, the imports among them."""
MEMORY = 2 << 30
"""Bytes beyond what the libraries take; and `PER_BYTE` for each of the files."""
PER_BYTE = 8
KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONHOME",
)  # fmt: skip
"""Variables that the child has: none that may be a secret."""
FILES = (
    "config.yaml", "golden.parquet", "evaluate/metrics.json", "ingest/schema.json",
    "features/plan.json", "features/tables/*.parquet", "train/*.json", "train/*.ubj", "train/*.tl",
)  # fmt: skip


def passed(run: Path, model: str, seconds: float = SECONDS) -> dict[str, Any]:
    """What stands in for the manifest of a run that a child process has opened.

    Raises:
        InputError: it could not; what happened to it.
    """
    command = [sys.executable, "-P", "-m", __name__, str(run.absolute()), model, str(seconds)]
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


# -- in the child ----------------------------------------------------------------------------------


def main() -> None:
    """Opens the run and says what was found, as one JSON object."""
    run, model, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    found: dict[str, Any]
    try:
        found = {"manifest": _opened(run, model, seconds)}
    except PipelineError as error:
        found = {"refused": error.message, "fix": error.fix}
    sys.stdout.write(json.dumps(found))


def _opened(run: Path, model: str, seconds: float) -> dict[str, Any]:
    """Opens, checks and scores within the limits.

    Raises:
        InputError: the run's files are not what they must be.
    """
    from pipeline.predict import scorer
    from pipeline.train import store, structure

    for library in ("pyarrow.parquet", "treelite.sklearn", "xgboost"):
        import_module(library)  # before the limits: what they take is no part of them
    names = sorted(p.relative_to(run).as_posix() for pattern in FILES for p in run.glob(pattern))
    limit(seconds, sum((run / name).lstat().st_size for name in names))
    manifest = _manifest(run, names)
    seal = sealed.Sealed(run, manifest)
    with sealed.fitting(run):
        # its trees come first: a row may never come to the end of what is none
        for name in manifest["models"]:
            if name == (manifest["best"] if model == "best" else model):
                structure.check(store.load(name, run / "train", read=seal.read), run / "train")
        structure.try_rows(scorer.opened(seal, model).model)
    return manifest


def limit(seconds: float, size: int) -> None:
    """Limits this process: half of the seconds, memory for so many bytes of files, no writing."""
    import psutil

    now = psutil.Process().memory_info().vms
    limits = [
        (resource.RLIMIT_CPU, max(1, int(seconds / 2))),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ]
    if sys.platform == "linux":
        limits.append((resource.RLIMIT_AS, now + MEMORY + PER_BYTE * size))
    for what, most in limits:
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, hard))


def _manifest(run: Path, names: list[str]) -> dict[str, Any]:
    """What `predict` needs of a manifest, from the other files."""
    from pipeline.config_tree import yaml_tree
    from pipeline.evaluate import metrics
    from pipeline.train import store

    files = {n: hashlib.sha256(sealed.read_within(run, n)).hexdigest() for n in names}
    bare = sealed.Sealed(run, {"files": files})
    with sealed.fitting(run):
        models = [n for n in store.CONTENT if {f"train/{f}" for f in store.files(n)} <= set(files)]
        if not models:
            raise InputError(f"{run / 'train'} has no model", fix="name a run folder")
        sidecar = run / "train" / f"{models[0]}.json"
        facts = sealed.parsed(bare.read(sidecar), sidecar)
        config = yaml_tree(bare.read(run / "config.yaml"), run / "config.yaml")
        best, judged = models[0], run / "evaluate" / "metrics.json"
        if len(models) > 1 and judged.exists():
            best = metrics.best(sealed.parsed(bare.read(judged), judged))
        return {
            "task": facts["task"], "classes": facts["classes"], "seed": config.get("seed", 0),
            "models": models, "best": best, "files": files,
        }  # fmt: skip


if __name__ == "__main__":
    main()
