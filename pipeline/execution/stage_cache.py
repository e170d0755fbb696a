"""The cache of stages: records of what finished stages left, and decisions to reuse them.

A finished stage has a record, ``stages/<stage>.json``, with its fingerprint and the hashes of its
files. A resumed run reuses the stage if the fingerprint is the same and the files are unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.artifacts.files import STAGES, hash_file, read_json, write_json
from pipeline.artifacts.manifest_model import Fallback
from pipeline.artifacts.stage_id import StageId
from pipeline.errors import InputError
from pipeline.execution.fingerprints import Inputs, StageInputs, list_changes, shorten_changes

Results = Mapping[str, Any]
"""JSON that a stage leaves in its record, because no file has it."""
REUSED = "reused: nothing that it depends on has changed"
RECOMPUTED = "recomputed"
UNFINISHED = "it had not finished"
CLEANED = "the results of the stages were removed (stages/ is missing)"


@dataclass(frozen=True)
class StageRecord:
    """The record of a finished stage."""

    key: str
    device: str
    """The run's device, even if the stage fell back to the CPU."""
    inputs: Annotated[Mapping[str, Inputs], Field(alias="facts")]
    """`StageInputs.inputs`, to explain later what has changed."""
    files: Mapping[str, str]
    """SHA-256 by path in the run folder."""
    results: Annotated[Results, Field(alias="found")]
    """JSON that the stage left in no file."""
    rows: int
    notes: Sequence[str]
    warnings: Sequence[str]
    fallbacks: Sequence[Mapping[str, Any]]

    def find_altered(self, folder: Path) -> str | None:
        """Return the first of the files that is not as the stage left it."""
        for name, recorded in self.files.items():
            path = folder / name  # an absolute name would replace the folder
            inside = ".." not in Path(name).parts and path.is_relative_to(folder)
            if not inside or not path.is_file() or hash_file(path) != recorded:
                return name
        return None


RECORD = TypeAdapter(StageRecord)
FALLBACKS = TypeAdapter(list[Fallback])


@dataclass(frozen=True)
class CacheDecision:
    """The decision to reuse or compute a stage, with its reason."""

    key: str
    """The stage's fingerprint."""
    device: str
    inputs: Inputs
    record: StageRecord | None
    """The record to restore the stage from; None: the stage is computed."""
    reason: str
    """The ledger's line; empty in a run that began anew."""


@dataclass
class StageCache:
    """The records of a run folder, and the decisions that follow from them."""

    folder: Path
    resumed: bool = False
    """The run resumes in a folder that another process has left."""
    cleaned: bool = False
    """The run had finished, and its stages' results were removed (`is_cleaned`)."""
    records: bool = True
    """Stages leave records; False: all are computed and nothing is recorded."""
    decisions: dict[StageId, CacheDecision] = field(default_factory=dict)

    def decide(self, inputs: Mapping[StageId, StageInputs], devices: Sequence[str]) -> None:
        """Compare every stage with its record.

        Args:
            inputs: what each stage depends on, in the order of the stages.
            devices: the run's, and others whose results are as good.
        """
        self.decisions = {}
        for stage_id, stage_inputs in inputs.items():
            self.decisions[stage_id] = self._decide_stage(stage_id, stage_inputs, devices)

    def is_reused(self, stage_id: StageId) -> bool:
        """Return whether the stage is restored from its record."""
        decision = self.decisions.get(stage_id)
        return decision is not None and decision.record is not None

    def restored_results(self, stage_id: StageId) -> Results | None:
        """Return the recorded results of a stage that is reused."""
        decision = self.decisions.get(stage_id)
        return None if decision is None or decision.record is None else decision.record.results

    @property
    def keys(self) -> dict[StageId, str]:
        """The fingerprint of every stage."""
        return {stage_id: decision.key for stage_id, decision in self.decisions.items()}

    def forget(self, stages: Set[StageId]) -> None:
        """Remove the decisions on stages that this run does not have."""
        self.decisions = {i: d for i, d in self.decisions.items() if i not in stages}

    def _decide_stage(
        self, stage_id: StageId, inputs: StageInputs, devices: Sequence[str]
    ) -> CacheDecision:
        record = self.read_record(stage_id) if self.resumed else None
        keys = {device: inputs.fingerprint(stage_id, device, self.keys) for device in devices}
        for device, key in keys.items():
            if record is not None and record.key == key:
                altered = record.find_altered(self.folder)
                if altered is None:
                    return CacheDecision(key, device, inputs.inputs, record, REUSED)
                reason = f"{RECOMPUTED}: {altered} is missing or altered"
                return CacheDecision(key, device, inputs.inputs, None, reason)
        device = devices[0]
        reason = f"{RECOMPUTED}: {self._explain(inputs, record, device)}" if self.resumed else ""
        return CacheDecision(keys[device], device, inputs.inputs, None, reason)

    def _explain(self, inputs: StageInputs, record: StageRecord | None, device: str) -> str:
        """Return why a stage without a usable record is recomputed."""
        if record is None:
            return CLEANED if self.cleaned else UNFINISHED
        changes = list_changes(record.inputs, inputs.inputs)
        if record.device != device:
            changes.append(f"the device was {record.device}, is {device}")
        if changes:
            return shorten_changes(changes)
        changed = [i for i in inputs.after if not self.is_reused(i)] or inputs.after
        stages = "stages" if len(changed) > 1 else "stage"
        return f"upstream {stages} {' and '.join(f'`{i}`' for i in changed)} changed"

    def folder_of(self, stage_id: StageId) -> Path:
        """Return the stage's own folder for files."""
        return self.folder / STAGES / stage_id.slug

    def _record_path(self, stage_id: StageId) -> Path:
        return self.folder / STAGES / f"{stage_id.slug}.json"

    def read_record(self, stage_id: StageId) -> StageRecord | None:
        """Return the stage's record; None: there is no valid one."""
        try:
            record = RECORD.validate_python(read_json(self._record_path(stage_id)))
            FALLBACKS.validate_python(record.fallbacks)
            return record
        except (InputError, ValidationError, OSError):  # also one of another version
            return None

    def write_record(self, stage_id: StageId, record: StageRecord) -> None:
        """Write the stage's record, which marks it as finished."""
        path = self._record_path(stage_id)
        write_json(path, RECORD.dump_python(record, by_alias=True))

    def hash_files(self, files: Sequence[Path]) -> dict[str, str]:
        """Return the SHA-256 of files by their path in the run folder."""
        return {p.relative_to(self.folder).as_posix(): hash_file(p) for p in sorted(files)}
