"""The run folders below a folder: what each is, and which may be removed."""

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
from pipeline.artifacts.manifest import MANIFEST, read_within
from pipeline.errors import InputError, MachineError
from pipeline.evaluate.metrics import primary_metric
from pipeline.execution.resume import resume_command
from pipeline.report import folder as folders

State = Literal["finished", "running", "stopped", "damaged"]


@dataclass(frozen=True)
class RunInfo:
    """A run folder."""

    folder: str
    state: State
    """A run without a manifest stopped on its way, if no process works on it."""
    started: str
    """ISO 8601, local time, in seconds."""
    bytes: int
    """Of all its files."""
    target: str = ""
    rows: int = 0
    """Of all sets."""
    device: str = ""
    seconds: float = 0.0
    """Of all stages."""
    best: str = ""
    metric: str = ""
    """The task's primary metric, of the best model."""
    valid: float | None = None
    test: float | None = None
    reason: str = ""
    """Why it is damaged, or the last stage that a stopped one has finished."""
    resume: str = ""
    """The command that goes on with a stopped one."""
    freed: int = 0
    """Bytes that are free once ``stages/`` is gone (`list_with_stages`)."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def list_runs(root: Path) -> list[RunInfo]:
    """The run folders directly below ``root``, oldest first; links are not followed.

    Raises:
        InputError: there is no such folder.
    """
    if not root.is_dir():
        raise InputError(
            f"there is no folder {str(root)!r}",
            fix="runs lie in data/runs, or wherever --out named",
        )
    found = []
    for path in root.iterdir():
        if not path.is_symlink() and (_is_run(path) or _is_leftover(path)):
            with suppress(FileNotFoundError):  # another process removes it just now
                found.append(_known(path))
    return sorted(found, key=lambda run: (run.started, run.folder))


def _is_run(path: Path) -> bool:
    """Whether a run made the folder: others have a config.yaml too, and `clean` is for runs."""
    logs = ("log.txt", "ledger.jsonl")
    return (path / "config.yaml").is_file() and any((path / name).is_file() for name in logs)


def _is_leftover(path: Path) -> bool:
    """Tell whether a command that locks its folder was killed there before it wrote a config."""
    if (path / "config.yaml").exists() or not (path / LOCK).is_file():
        return False
    with suppress(InputError):
        owner = read_within(path, LOCK, MAX_OWNER)
        return re.fullmatch(rb"process \d+", owner) is not None
    return False


def _known(path: Path) -> RunInfo:
    is_run = _is_run(path)
    begun = datetime.fromtimestamp((path / ("config.yaml" if is_run else LOCK)).stat().st_mtime)
    started, size = begun.isoformat(timespec="seconds"), _size(path)
    if is_in_use(path):
        return RunInfo(str(path), "running", started, size)
    if not is_run:
        return RunInfo(str(path), "stopped", started, size, reason="before it wrote a config")
    try:
        run = folders.read_run_folder(path)
        return RunInfo(str(path), _state(run), started, size, **_facts(run))
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        # whatever a damaged or foreign file holds, the other runs are still listed
        reason = error.message if isinstance(error, InputError) else "its files do not fit together"
        return RunInfo(str(path), "damaged", started, size, reason=reason)


def _state(run: folders.RunFolder) -> State:
    return "finished" if run.manifest else "stopped"


def _facts(run: folders.RunFolder) -> dict[str, Any]:
    config, stages = run.config, [e for e in run.ledger if "seconds" in e]
    facts: dict[str, Any] = {
        "target": str(config["data"]["target"]),
        "seconds": round(sum(float(e["seconds"]) for e in stages), 1),
        "device": str(run.manifest.get("device") or (stages[-1]["device"] if stages else "")),
        "rows": max((int(e.get("rows", 0)) for e in stages), default=0),
    }
    if not run.manifest:
        kind = str((config.get("cluster") or {}).get("kind", ""))
        reason = f"after {stages[-1]['stage']}" if stages else "before reading"
        return facts | {"reason": reason, "resume": resume_command(run.path, kind)}
    best, name = run.manifest["best"], primary_metric(run.metrics["task"]).name
    of_best = run.metrics["models"][best]
    judged = {which: of_best.get(which, {}).get(name) for which in ("valid", "test")}
    rows = sum(run.manifest["rows"].values())
    return facts | {"best": best, "metric": name, "rows": rows} | judged


def _size(path: Path) -> int:
    """Bytes of all its files, each counted once however many names it has."""
    return sum(size for _, _, size in _files(path))


def _files(path: Path) -> list[tuple[int, int, int]]:
    """(its names below the folder, all its names, bytes) of each file there.

    A run that goes on renames and removes some while they are counted.
    """
    found: dict[tuple[int, int], tuple[int, int, int]] = {}
    for at, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                info = os.lstat(os.path.join(at, name))
                if stat.S_ISREG(info.st_mode):
                    own = (info.st_dev, info.st_ino)
                    count = found[own][0] if own in found else 0
                    found[own] = (count + 1, info.st_nlink, info.st_size)
    return list(found.values())


def select_removable(
    runs: Sequence[RunInfo], *, keep: int | None, older: float | None, stopped: bool
) -> list[RunInfo]:
    """The runs that `clean` would remove: never one that a process works on.

    Args:
        runs: oldest first.
        keep: all finished runs but the last so many.
        older: finished runs that started more than so many days ago.
        stopped: stopped and damaged runs.

    With both ``keep`` and ``older`` a finished run must meet both.
    """
    now, finished = datetime.now(), [run for run in runs if run.state == "finished"]
    old = [] if keep is None and older is None else finished
    if keep is not None:
        old = old[: max(len(old) - keep, 0)]
    if older is not None:
        old = [r for r in old if (now - datetime.fromisoformat(r.started)).days >= older]
    broken = [run for run in runs if stopped and run.state in ("stopped", "damaged")]
    chosen = {run.folder for run in [*old, *broken]}
    return [run for run in runs if run.folder in chosen]


def list_with_stages(folder: Path, *, keep: int | None, older: float | None) -> list[RunInfo]:
    """The finished runs that still have what only a later ``--resume`` needs, and its bytes.

    Args:
        folder: below which the runs lie, or a run.
        keep: as for `select_removable`; with neither all finished runs.
        older: likewise.

    Raises:
        InputError: there is no such folder.
    """
    runs = [_known(folder)] if _is_run(folder) else list_runs(folder)
    if keep is None and older is None:
        keep = 0
    chosen = select_removable(runs, keep=keep, older=older, stopped=False)
    spare_folders = {run.folder: _spare_folders(Path(run.folder)) for run in chosen}
    return [
        replace(run, freed=sum(map(_freed, spare_folders[run.folder])))
        for run in chosen if spare_folders[run.folder]
    ]  # fmt: skip


def _spare_folders(run: Path) -> list[Path]:
    """List what a finished run does without: its stages, and the files of a killed audit."""
    return [run / name for name in (STAGES, SCRATCH) if (run / name).is_dir()]


def _freed(stages: Path) -> int:
    """Bytes of the files below the folder that have no second name elsewhere, as models have."""
    return sum(size for count, links, size in _files(stages) if count == links)


def remove_stages(runs: Sequence[RunInfo]) -> None:
    """Removes ``stages/`` of the runs; they stay finished, and `--resume` does all of it again.

    Raises:
        InputError: a process works in one. MachineError: one cannot be removed.
    """
    for run in runs:
        path = Path(run.folder)
        with lock_folder(path):
            if (path / MANIFEST).is_file():  # it may have been taken up again since it was listed
                for spare_folder in _spare_folders(path):
                    _remove(spare_folder)


def remove_runs(runs: Sequence[RunInfo]) -> None:
    """Removes the folders.

    Raises:
        MachineError: one cannot be removed; those before it are gone.
    """
    for run in runs:
        path = Path(run.folder)
        if is_in_use(path):  # it was taken up again since it was listed
            continue
        _remove(path)


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise MachineError(
            f"{path} cannot be removed: {error.strerror}: {error.filename}",
            fix="whoever owns it can remove it",
        ) from None
