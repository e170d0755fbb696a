"""Run folders below a folder: their states, and the removal of old ones."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pipeline.artifacts.files import LOCK, MAX_OWNER, SCRATCH, STAGES, is_in_use, lock_folder
from pipeline.artifacts.ledger import find_total
from pipeline.artifacts.manifest import MANIFEST, read_within
from pipeline.errors import InputError, MachineError
from pipeline.evaluate.metrics import primary_metric
from pipeline.execution.resume import resume_command
from pipeline.report import folder as folders

State = Literal["finished", "running", "stopped", "damaged"]


@dataclass(frozen=True)
class RunInfo:
    """The state and the main results of a run folder."""

    folder: str
    state: State
    """A run without a manifest is stopped, unless a process works on it."""
    started: str
    """Start as ISO 8601 in local time, in seconds."""
    bytes: int
    """Bytes of all files."""
    target: str = ""
    rows: int = 0
    """Rows of all sets."""
    device: str = ""
    seconds: float = 0.0
    """Seconds from its start until it was saved; if it stopped, those of its stages."""
    best: str = ""
    metric: str = ""
    """Name of the task's primary metric, given for the best model."""
    valid: float | None = None
    test: float | None = None
    reason: str = ""
    """Why the run is damaged, or the last stage that a stopped run has completed."""
    resume: str = ""
    """Command that resumes a stopped run."""
    freed: int = 0
    """Bytes that the removal of ``stages/`` would free (`list_with_stages`)."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields for ``--json``."""
        return asdict(self)


def list_runs(root: Path) -> list[RunInfo]:
    """List the run folders directly below ``root``, oldest first, without following links.

    Raises:
        InputError: There is no such folder.
    """
    if not root.is_dir():
        raise InputError(
            f"there is no folder {str(root)!r}",
            fix="name a folder of runs: data/runs, or the one that --out named",
        )
    infos = []
    for path in root.iterdir():
        if not path.is_symlink() and (_is_run(path) or _is_leftover(path)):
            with suppress(FileNotFoundError):  # another process removes it now
                infos.append(_examine(path))
    return sorted(infos, key=lambda run: (run.started, run.folder))


def _is_run(path: Path) -> bool:
    """Return whether a run created the folder."""
    # A config.yaml alone proves nothing, and `clean` must never remove other folders.
    logs = ("log.txt", "ledger.jsonl")
    return (path / "config.yaml").is_file() and any((path / name).is_file() for name in logs)


def _is_leftover(path: Path) -> bool:
    """Return whether a command was killed there after the lock and before the config."""
    if (path / "config.yaml").exists() or not (path / LOCK).is_file():
        return False
    with suppress(InputError):
        owner = read_within(path, LOCK, MAX_OWNER)
        return re.fullmatch(rb"process \d+", owner) is not None
    return False


def _examine(path: Path) -> RunInfo:
    is_run = _is_run(path)
    start = datetime.fromtimestamp((path / ("config.yaml" if is_run else LOCK)).stat().st_mtime)
    started, size = start.isoformat(timespec="seconds"), _size(path)
    if is_in_use(path):
        return RunInfo(str(path), "running", started, size)
    if not is_run:
        return RunInfo(str(path), "stopped", started, size, reason="before it wrote a config")
    try:
        run = folders.read_run_folder(path)
        return RunInfo(str(path), _state(run), started, size, **_facts(run))
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        # Whatever a damaged or foreign file contains, the other runs must still be listed.
        reason = error.message if isinstance(error, InputError) else "its files do not fit together"
        return RunInfo(str(path), "damaged", started, size, reason=reason)


def _state(run: folders.RunFolder) -> State:
    return "finished" if run.manifest else "stopped"


def _facts(run: folders.RunFolder) -> dict[str, Any]:
    config, stages = run.config, [e for e in run.ledger if "seconds" in e]
    facts: dict[str, Any] = {
        "target": str(config["data"]["target"]),
        "seconds": round(find_total(run.ledger), 1),
        "device": str(run.manifest.get("device") or (stages[-1]["device"] if stages else "")),
        "rows": max((int(e.get("rows", 0)) for e in stages), default=0),
    }
    if not run.manifest:
        kind = str((config.get("cluster") or {}).get("kind", ""))
        reason = f"after {stages[-1]['stage']}" if stages else "before reading"
        return facts | {"reason": reason, "resume": resume_command(run.path, kind)}
    best, name = run.manifest["best"], primary_metric(run.metrics["task"]).name
    of_best = run.metrics["models"][best]
    scores = {which: of_best.get(which, {}).get(name) for which in ("valid", "test")}
    rows = sum(run.manifest["rows"].values())
    return facts | {"best": best, "metric": name, "rows": rows} | scores


def _size(path: Path) -> int:
    """Return the bytes of all files, each counted once even if it has several names."""
    return sum(size for _, _, size in _files(path))


def _files(path: Path) -> list[tuple[int, int, int]]:
    """Return for each file: its names below the folder, all its names, and its bytes."""
    files: dict[tuple[int, int], tuple[int, int, int]] = {}
    for at, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):  # a running command renames and removes files
                info = os.lstat(os.path.join(at, name))
                if stat.S_ISREG(info.st_mode):
                    inode = (info.st_dev, info.st_ino)
                    count = files[inode][0] if inode in files else 0
                    files[inode] = (count + 1, info.st_nlink, info.st_size)
    return list(files.values())


def select_removable(
    runs: Sequence[RunInfo], *, keep: int | None, older: float | None, stopped: bool
) -> list[RunInfo]:
    """Select the runs that `clean` would remove, never one on which a process works.

    Args:
        runs: Runs, oldest first.
        keep: Number of the last finished runs to keep.
        older: Days since the start of a finished run. With ``keep``, a run must meet both.
        stopped: True to select also stopped and damaged runs.
    """
    now, finished = datetime.now(), [run for run in runs if run.state == "finished"]
    old = [] if keep is None and older is None else finished
    if keep is not None:
        old = old[: max(len(old) - keep, 0)]
    if older is not None:
        old = [r for r in old if (now - datetime.fromisoformat(r.started)).days >= older]
    broken = [run for run in runs if stopped and run.state in ("stopped", "damaged")]
    selected = {run.folder for run in [*old, *broken]}
    return [run for run in runs if run.folder in selected]


def list_with_stages(folder: Path, *, keep: int | None, older: float | None) -> list[RunInfo]:
    """List the finished runs with files that only a later ``--resume`` needs, and their bytes.

    Args:
        folder: A folder that contains runs, or one run.
        keep: As for `select_removable`; without ``keep`` and ``older`` all finished runs.
        older: As for `select_removable`.

    Raises:
        InputError: There is no such folder.
    """
    runs = [_examine(folder)] if _is_run(folder) else list_runs(folder)
    if keep is None and older is None:
        keep = 0
    chosen = select_removable(runs, keep=keep, older=older, stopped=False)
    spare_folders = {run.folder: _spare_folders(Path(run.folder)) for run in chosen}
    return [
        replace(run, freed=sum(map(_freed, spare_folders[run.folder])))
        for run in chosen if spare_folders[run.folder]
    ]  # fmt: skip


def _spare_folders(run: Path) -> list[Path]:
    """List the folders that a finished run can spare: its stages, and files of a killed audit."""
    return [run / name for name in (STAGES, SCRATCH) if (run / name).is_dir()]


def _freed(stages: Path) -> int:
    """Return the bytes that the removal of a folder frees: files without a name elsewhere."""
    return sum(size for count, links, size in _files(stages) if count == links)


def remove_stages(runs: Sequence[RunInfo]) -> None:
    """Remove ``stages/`` of finished runs; a later ``--resume`` recomputes all stages.

    Raises:
        InputError: A process works in a run folder.
        MachineError: A folder cannot be removed.
    """
    for run in runs:
        path = Path(run.folder)
        with lock_folder(path):
            if (path / MANIFEST).is_file():  # it may have been resumed since it was listed
                for spare_folder in _spare_folders(path):
                    _remove(spare_folder)


def remove_runs(runs: Sequence[RunInfo]) -> None:
    """Remove run folders.

    Raises:
        MachineError: A folder cannot be removed; the folders before it are removed already.
    """
    for run in runs:
        path = Path(run.folder)
        if is_in_use(path):  # it was resumed since it was listed
            continue
        _remove(path)


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise MachineError(
            f"{path} cannot be removed: {error.strerror}: {error.filename}",
            fix="remove it as its owner",
        ) from None
