"""Reads blocks as partitions, and gathers the rows that were set aside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa

from pipeline.artifacts.files import atomic_write
from pipeline.cluster import partitions
from pipeline.cluster.client import is_distributed
from pipeline.cluster.partitions import Partitions
from pipeline.device import Frame
from pipeline.device.choose import frames_of
from pipeline.ingest import reader_stats
from pipeline.ingest.blocks import SMALL_BLOCK, BlockGroup, group_blocks, plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.read_block import read_block

ReadResult = tuple[Frame, pd.DataFrame | None]


def plan_partitions(
    contract: Contract, rows: int | None, threads: int, block_bytes: int
) -> list[BlockGroup]:
    """The parts of a run: of ``block_bytes``, or smaller ones so that every thread has some.

    Results do not depend on it.
    """
    found = plan_blocks(contract, block_bytes, rows)
    share = sum(block.size for block in found) // (2 * threads)
    most = min(max(share, SMALL_BLOCK), block_bytes)
    if len(found) < 2 * threads:
        found = plan_blocks(contract, most, rows)
    return group_blocks(found, most)


def _read_group(
    part: BlockGroup, contract: Contract, names: list[str], device: str, bad: str
) -> ReadResult:
    own = frames_of(device)
    read = [read_block(block, contract, names, own, bad) for block in part.blocks]
    rejected = [r for _, r in read if r is not None]
    return (
        own.concat([frame for frame, _ in read]),
        pd.concat(rejected, ignore_index=True) if rejected else None,
    )


def _take_frame(read: ReadResult) -> Frame:
    return read[0]


def _take_rejected(read: ReadResult) -> pd.DataFrame | None:
    return read[1]


def read_partitions(
    client: Any, parts: Sequence[BlockGroup], contract: Contract, names: list[str], *,
    device: str, on_bad_rows: str,
) -> Partitions:  # fmt: skip
    """A lazy read of each part: (frame, rejected rows)."""
    sent = partitions.broadcast(client, contract)
    return partitions.map_partitions(parts, _read_group, sent, names, device, on_bad_rows)


def pack_read(read: ReadResult, device: str) -> ReadResult:
    """The read with its frame as it is held (`Frames.pack_integers`)."""
    return frames_of(device).pack_integers(read[0]), read[1]


def take_frames(read: Partitions) -> Partitions:
    """The frames of reads."""
    return partitions.map_partitions(read, _take_frame)


STAGING_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


def stage_as_arrow(client: Any, parts: Partitions, folder: Path, device: str) -> Partitions:
    """CSV read once: partitions as Arrow files of this run, which later passes map into memory.

    Arrow IPC was faster to read again than Parquet (21.0 s against 23.3 s for a whole run, 27.8 s
    unstaged: decision 3 of the design). LZ4 took 32 bytes a row of flights where none took 77 (and
    the CSV 92), for 7 ms of processor time more per 326,000 rows read; zstd took 17, and 25 ms.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = partitions.iter_results(
        client, partitions.map_partitions(parts, _write_staged, str(folder), device)
    )
    return partitions.map_partitions(list(files), _read_staged, device)


def _write_staged(frame: Frame, folder: str, device: str) -> str:
    table = pa.Table.from_pandas(frames_of(device).to_host(frame))
    path = Path(folder) / f"{uuid4().hex}.arrow"
    with (
        atomic_write(path) as beside,
        pa.OSFile(str(beside), "wb") as file,
        pa.ipc.new_file(file, table.schema, options=STAGING_OPTIONS) as writer,
    ):
        writer.write_table(table)
    return str(path)


def _read_staged(name: str, device: str) -> Frame:
    with pa.memory_map(name) as file:
        return frames_of(device).to_device(pa.ipc.open_file(file).read_all().to_pandas())


def collect_reader_notes(client: Any) -> list[str]:
    """What the ledger says of which reader read the blocks since the last call."""
    found = (
        client.run(reader_stats.take_counts).values()
        if is_distributed(client)
        else [reader_stats.take_counts()]
    )
    return reader_stats.describe_counts(found)


def write_rejected(client: Any, read: Partitions, path: Path) -> int:
    """Writes ``rejected.parquet`` if any row was set aside; returns how many were."""
    found = [
        r
        for r in partitions.iter_results(client, partitions.map_partitions(read, _take_rejected))
        if r is not None
    ]
    found = [r for r in found if len(r)]
    if not found:
        return 0
    rejected = pd.concat(found, ignore_index=True)
    with atomic_write(path) as beside:
        rejected.to_parquet(beside, index=False)
    return len(rejected)
