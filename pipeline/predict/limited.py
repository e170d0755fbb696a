"""Opens a run within limits, in a process of its own, and says what is in it (`trial` starts it).

It opens the run as `predict` does, scores its golden rows, and looks at every node of every tree.
The limits hold on Linux; macOS knows no limit on memory.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from pipeline import sealed
from pipeline.config.loader import yaml_tree
from pipeline.errors import InputError, PipelineError
from pipeline.evaluate import metrics
from pipeline.predict import scorer
from pipeline.train import golden, store, structure

MEMORY = 2 << 30
"""Bytes beyond what the libraries take; and `PER_BYTE` for each of the files."""
PER_BYTE = 8
FILES = (
    "config.yaml", golden.FILE, "evaluate/metrics.json", "ingest/schema.json",
    "features/plan.json", "features/tables/*.parquet", "train/*.json", "train/*.ubj", "train/*.tl",
)  # fmt: skip


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
