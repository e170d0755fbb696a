"""The read stage: the used columns of the files, as partitions of frames."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace

from pipeline.artifacts.stage_id import READ
from pipeline.cluster import partitions
from pipeline.cluster.client import is_distributed
from pipeline.cluster.partitions import Partitions
from pipeline.console.plural import quantify
from pipeline.device.choose import DeviceChoice
from pipeline.execution.context import RunContext
from pipeline.execution.fingerprints import (
    FRAME_LIBRARIES,
    StageInputs,
    file_fingerprints,
    slice_config,
    software_inputs,
)
from pipeline.execution.job import Job
from pipeline.execution.memory_inputs import describe_plan, plan_parts
from pipeline.execution.run_state import RawData, RunState
from pipeline.execution.stage import Stage, StageRun
from pipeline.execution.stage_cache import Results
from pipeline.ingest import partitions as load
from pipeline.ingest.blocks import BlockGroup
from pipeline.memory.cluster_capacity import device_capacity, host_capacity
from pipeline.memory.planner import MemoryPlan

REJECTED = "rejected.parquet"


class ReadData(Stage):
    """Plans the memory, then reads the files."""

    id = READ

    def inputs(self, job: Job, plan: MemoryPlan) -> StageInputs:
        """Return the files and how they are parsed."""
        data = job.config.data
        config = slice_config(
            data, "data", "path", "format", "csv", "sheet", "types", "on_bad_rows", "rows"
        )
        if data.on_bad_rows == "quarantine":
            # A row is bad only if a column that is read is, so the columns matter here.
            config["columns read"] = list(job.reads)
        # Text columns of the target are read in another way.
        config["classes"] = [c.name for c in job.contract.columns if c.keeps_words]
        files = file_fingerprints(job.contract.files)
        return StageInputs({"config": config, "files": files, **software_inputs(FRAME_LIBRARIES)})

    def prepare(self, state: RunState) -> None:
        """Plan the memory: fingerprints depend on the rows that the plan leaves out."""
        context = state.context
        state.parts, state.plan = plan_memory(context, context.device)
        context.search_cache(state.plan)

    def run(self, run: StageRun) -> None:
        """Read the files; write the schema and the rejected rows."""
        context = run.context
        blocks = self._open(run)
        plan = run.state.plan
        assert plan is not None
        run.entry.rows = sum(part.records for part in run.state.parts)
        is_csv = context.job.contract.format == "csv"
        run.entry.notes += describe_plan(plan, is_csv, is_distributed(context.client))
        ingest = context.folder / "ingest"
        (ingest / REJECTED).unlink(missing_ok=True)
        if context.job.config.data.on_bad_rows != "error" and (
            rejected := load.write_rejected(context.client, blocks, ingest / REJECTED)
        ):
            context.warn(f"{quantify(rejected, 'bad row')} set aside in ingest/rejected.parquet")
        context.job.contract.write(ingest / "schema.json")
        paths = ingest / "schema.json", ingest / REJECTED
        run.files = [path for path in paths if path.exists()]
        self._keep_frames(run, blocks)

    def restore(self, run: StageRun, results: Results) -> None:
        """Read the files again, for the stages that are computed."""
        self._keep_frames(run, self._open(run))

    def rebuild(self, state: RunState, device: str | None) -> None:
        """Read the files again, in the partitions of the run's fallback level."""
        context = state.context
        before = state.raw.device if state.raw is not None else state.labeled.read_on
        reader = device or before
        parts, plan = plan_memory(context, reader)
        frames = load.take_frames(_open_blocks(context, parts, plan, reader))
        if plan.staging:
            frames, _ = _stage_csv(context, frames, reader)
        state.raw = RawData(frames, reader, sum(part.rows for part in parts), plan)

    def _open(self, run: StageRun) -> Partitions:
        """Return the partitions of blocks, persisted if the plan holds rows."""
        state, context = run.state, run.context
        assert state.plan is not None
        if not context.needs_data_of(READ):
            # Every later stage is reused, so nothing will work on the rows.
            state.plan = replace(state.plan, in_memory=False, staging=0)
        load.collect_reader_notes(context.client)  # those of another run in this process
        if context.job.cluster_reason:
            run.process_notes.append(
                f"cluster {context.job.cluster.kind} {context.job.cluster_reason}"
            )
        return _open_blocks(context, state.parts, state.plan, context.device)

    def _keep_frames(self, run: StageRun, blocks: Partitions) -> None:
        state, context = run.state, run.context
        assert state.plan is not None
        frames = load.take_frames(blocks)
        if state.plan.staging:
            frames, size = _stage_csv(context, frames, context.device)
            run.entry.notes.append(f"CSV staged once as Arrow files of {size / 1e9:.2f} GB")
        run.entry.notes += load.collect_reader_notes(context.client)
        total = sum(part.rows for part in state.parts)
        state.raw = RawData(frames, context.device, total, state.plan)


def plan_memory(
    context: RunContext, device: str, train_rows: int | None = None
) -> tuple[list[BlockGroup], MemoryPlan]:
    """Plan the parts within the memory of this process, or of all workers.

    Args:
        device: the device that reads, which may be the CPU in the GPU's place.
        train_rows: the number of training rows, once they are counted.

    Raises:
        MachineError: too few rows fit; the message names the memory that they need.
    """
    job, client, level = context.job, context.client, context.level
    if device != job.choice.name:
        job = replace(job, choice=DeviceChoice(job.choice.requested, device, job.choice.reason))
    if is_distributed(client):
        host = host_capacity(client, job.cluster, job.config.memory)
        gpus = device_capacity(client, job.config.memory) if device == "gpu" else None
        # Staged files would lie on one host's disk, so each pass reads the source on any worker.
        parts, plan = plan_parts(
            job, context.threads, None, host, device=gpus, level=level, train_rows=train_rows
        )
    else:
        parts, plan = plan_parts(
            job,
            context.concurrent_partitions,
            context.folder,
            device=job.device_limit,
            level=level,
            train_rows=train_rows,
        )
        context.ledger.planned = {str(s.stage): (s.host, s.device) for s in plan.stages}
    context.partitions = len(parts)
    context.listener.planned(plan, [part.rows for part in parts])
    return parts, plan


def _open_blocks(
    context: RunContext, parts: Sequence[BlockGroup], plan: MemoryPlan, device: str
) -> Partitions:
    job = context.job
    blocks = load.read_partitions(
        context.client,
        parts,
        job.contract,
        list(job.reads),
        device=device,
        on_bad_rows=job.config.data.on_bad_rows,
    )
    if not plan.in_memory:
        return blocks
    return partitions.persist(
        context.client, partitions.map_partitions(blocks, load.pack_read, device)
    )


def _stage_csv(context: RunContext, frames: Partitions, device: str) -> tuple[Partitions, int]:
    """Write CSV once as Arrow files; return the frames that read those, and their bytes."""
    folder = context.folder / "tmp" / "staged"
    shutil.rmtree(folder, ignore_errors=True)  # files of an earlier fallback level
    staged = load.stage_as_arrow(context.client, frames, folder, device)
    return staged, sum(path.stat().st_size for path in folder.iterdir())
