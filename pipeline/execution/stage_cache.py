"""Which stages of a run folder are kept, and which are done again, and why.

A stage leaves what it made, and last of all its record, ``stages/<stage>.json``: its key
(`pipeline.execution.fingerprints`) and the hashes of its files. It is kept where its key is the
same and the files are what they were. The models and features of the run are links to what the
stages left, so that those of the evaluation are still there when others were refitted on all rows.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.artifacts.files import STAGES, hash_file, read_json, write_json
from pipeline.artifacts.manifest import MANIFEST
from pipeline.artifacts.manifest_model import Fallback
from pipeline.config.scheduler import LOCAL_KINDS
from pipeline.config.urls import allowed_protocols
from pipeline.console import signals
from pipeline.errors import InputError, MachineError, quote_path
from pipeline.execution.fingerprints import Facts, StageInputs, differences, listed

KEPT = "kept: nothing that it depends on has changed"
UNFINISHED = "it had not finished"
CLEANED = "what the stages had left was cleaned (stages/ is not there)"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""The disk, or what this user may have of it."""


@dataclass(frozen=True)
class StageRecord:
    """What a finished stage left."""

    key: str
    device: str
    """The run's, not where the stage may have gone on."""
    facts: Mapping[str, Mapping[str, Any]]
    """`Basis.facts`, to tell what has changed."""
    files: Mapping[str, str]
    """SHA-256 by path in the run folder."""
    found: Mapping[str, Any]
    """What the stage found that is in no file."""
    rows: int
    notes: Sequence[str]
    warnings: Sequence[str]
    fallbacks: Sequence[Mapping[str, Any]]

    def altered(self, folder: Path) -> str | None:
        """The first of its files that is not what the stage left."""
        for name, known in self.files.items():
            path = folder / name  # an absolute name is not below the folder
            inside = ".." not in Path(name).parts and path.is_relative_to(folder)
            if not inside or not path.is_file() or hash_file(path) != known:
                return name
        return None


RECORD = TypeAdapter(StageRecord)
FALLBACKS = TypeAdapter(list[Fallback])


@dataclass(frozen=True)
class CacheDecision:
    """What is to be done about a stage."""

    key: str
    device: str
    facts: Facts
    kept: StageRecord | None
    why: str
    """For the ledger; empty in a run that began anew."""


def slug(stage: str) -> str:
    """The stage's name as that of a file or folder."""
    return stage.replace(" ", "-")


@dataclass
class StageCache:
    """The stages of a run folder: none known before `decide`, and all are done."""

    folder: Path
    resumed: bool = False
    """The run goes on; else it began in an empty folder."""
    cleaned: bool = False
    """It had finished, and what its stages left is gone (`without_stages`)."""
    decisions: dict[str, CacheDecision] = field(default_factory=dict)

    def decide(self, bases: Mapping[str, StageInputs], devices: Sequence[str]) -> None:
        """Judges every stage by its record.

        Args:
            bases: in the order of the stages.
            devices: the run's, and others whose results are as good.
        """
        keys: dict[str, str] = {}
        self.decisions = {}
        for stage, basis in bases.items():
            found = self._decided(stage, basis, devices, keys)
            self.decisions[stage], keys[stage] = found, found.key

    def of(self, stage: str) -> CacheDecision | None:
        """What was decided; None where nothing is kept nor recorded (a parity's run)."""
        return self.decisions.get(stage)

    def keeps(self, stage: str) -> bool:
        """Whether the stage is kept."""
        found = self.of(stage)
        return found is not None and found.kept is not None

    def found(self, stage: str) -> Mapping[str, Any] | None:
        """What a kept stage found."""
        found = self.of(stage)
        return None if found is None or found.kept is None else found.kept.found

    @property
    def keys(self) -> dict[str, str]:
        """The key of every stage."""
        return {stage: decision.key for stage, decision in self.decisions.items()}

    def left(self, *beginnings: str) -> bool:
        """Whether a stage whose name begins so is to be done; without decisions all are."""
        mine = [d for name, d in self.decisions.items() if name.startswith(beginnings)]
        return not self.decisions or any(d.kept is None for d in mine)

    def without(self, *beginnings: str) -> None:
        """Forgets stages that this run does not have."""
        self.decisions = {
            name: d for name, d in self.decisions.items() if not name.startswith(beginnings)
        }

    def _decided(
        self, stage: str, basis: StageInputs, devices: Sequence[str], keys: Mapping[str, str]
    ) -> CacheDecision:
        record = self._record(stage) if self.resumed else None
        possible = {device: basis.key(stage, device, keys) for device in devices}
        for device, key in possible.items():
            if record is not None and record.key == key:
                lost = record.altered(self.folder)
                kept = record if lost is None else None
                why = KEPT if lost is None else f"done again: {lost} is missing or altered"
                return CacheDecision(key, device, basis.facts, kept, why)
        why = f"done again: {self._reason(basis, record, devices[0])}" if self.resumed else ""
        return CacheDecision(possible[devices[0]], devices[0], basis.facts, None, why)

    def _reason(self, basis: StageInputs, record: StageRecord | None, device: str) -> str:
        if record is None:
            return CLEANED if self.cleaned else UNFINISHED
        changes = differences(record.facts, basis.facts)
        if record.device != device:
            changes.append(f"the device was {record.device}, is {device}")
        again = [name for name in basis.after if not self.keeps(name)]
        return listed(changes or [f"it builds on {' and '.join(again or basis.after)}"])

    def _record(self, stage: str) -> StageRecord | None:
        path = self.folder / STAGES / f"{slug(stage)}.json"
        try:
            found = RECORD.validate_python(read_json(path))
            FALLBACKS.validate_python(found.fallbacks)
            return found
        except (InputError, ValidationError, OSError):  # none, or of another version
            return None

    def place(self, stage: str) -> Path:
        """The stage's folder, for what it makes."""
        return self.folder / STAGES / slug(stage)

    def record(self, stage: str, found: StageRecord) -> None:
        """Writes the stage's record: from here on it is finished."""
        write_json(self.folder / STAGES / f"{slug(stage)}.json", vars(found))

    def hashes(self, files: Sequence[Path]) -> dict[str, str]:
        """SHA-256 of files by their path in the run folder."""
        return {p.relative_to(self.folder).as_posix(): hash_file(p) for p in sorted(files)}


def without_stages(folder: Path) -> bool:
    """Whether a run has finished there whose ``stages/`` was cleaned, or not copied with it."""
    return (folder / MANIFEST).is_file() and not (folder / STAGES).exists()


def remove_leftovers(folder: Path) -> None:
    """Removes what a process left that was killed, and the manifest: the run is not finished."""
    for path in (folder / MANIFEST, folder / "tmp", *folder.rglob(".*.tmp")):
        signals.remove_path(path)
    if os.path.lexists(folder / MANIFEST):
        raise MachineError(
            f"{folder / MANIFEST} cannot be removed, and the run is not finished any more",
            fix="name a folder that you may write to, such as a copy of this one (cp -a)",
        )


@contextmanager
def resumable(folder: Path, cluster: str = "") -> Iterator[None]:
    """A block that says how to go on with the run in the folder, if it does not end.

    Args:
        folder: the run's.
        cluster: its kind.

    Raises:
        MachineError: the disk is full, or may not be written to.
    """
    told = f"go on with: {resume_command(folder, cluster)}"
    with signals.add_stop_note(told):
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                error.add_note(told)
                raise
            found = MachineError(
                f"the run folder {folder} cannot be written to: {error.strerror}",
                fix="free some space",
            )
            found.add_note(told)
            raise found from error
        except Exception as error:
            error.add_note(told)
            raise


def resume_command(folder: Path, cluster: str = "") -> str:
    """What goes on with the run in the folder; a scheduler's address is said again."""
    own = f"python -m pipeline run --resume {quote_path(folder)}"
    own += "".join(f" --allow-protocol {name}" for name in sorted(allowed_protocols()))
    return own if cluster in ("", *LOCAL_KINDS) else f"{own} --cluster {shlex.quote(cluster)}"
