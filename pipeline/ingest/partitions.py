"""Reading of blocks as partitions, staging of CSV, and the table of rejected rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
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

if TYPE_CHECKING:
    from distributed import Client

ReadResult = tuple[Frame, pd.DataFrame | None]
"""A frame, and the rejected rows of its blocks."""


def plan_partitions(
    contract: Contract, rows: int | None, threads: int, block_bytes: int
) -> list[BlockGroup]:
    """Plan the partitions of a run, of at most ``block_bytes``; results do not depend on it.

    Partitions are smaller if there would not be two for every thread.
    """
    blocks = plan_blocks(contract, block_bytes, rows)
    share = sum(block.size for block in blocks) // (2 * threads)
    max_bytes = min(max(share, SMALL_BLOCK), block_bytes)
    if len(blocks) < 2 * threads:
        blocks = plan_blocks(contract, max_bytes, rows)
    return group_blocks(blocks, max_bytes)


def _read_group(
    group: BlockGroup, contract: Contract, names: list[str], device_name: str, on_bad_rows: str
) -> ReadResult:
    device = frames_of(device_name)
    reads = [read_block(block, contract, names, device, on_bad_rows) for block in group.blocks]
    rejected = [r for _, r in reads if r is not None]
    return (
        device.concat([frame for frame, _ in reads]),
        pd.concat(rejected, ignore_index=True) if rejected else None,
    )


def read_partitions(
    client: Client,
    groups: Sequence[BlockGroup],
    contract: Contract,
    names: list[str],
    *,
    device: str,
    on_bad_rows: str,
) -> Partitions:
    """Return lazy reads of the groups, each a `ReadResult`."""
    # The contract of a thousand files is large: it is sent to each worker once, not with each task.
    shared = partitions.broadcast(client, contract)
    return partitions.map_partitions(groups, _read_group, shared, names, device, on_bad_rows)


def pack_read(read: ReadResult, device: str) -> ReadResult:
    """Pack the frame of a read for memory (`Frames.pack_integers`)."""
    return frames_of(device).pack_integers(read[0]), read[1]


# Functions with names, because the tasks that the dashboard shows are called after them.
def _take_frame(read: ReadResult) -> Frame:
    return read[0]


def _take_rejected(read: ReadResult) -> pd.DataFrame | None:
    return read[1]


def take_frames(reads: Partitions) -> Partitions:
    """Return the frames of reads."""
    return partitions.map_partitions(reads, _take_frame)


# LZ4 took 32 bytes per row of flights where no compression took 77 (and the CSV 92), for 7 ms of
# processor time more per 326,000 rows read; zstd took 17 bytes, and 25 ms.
STAGING_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


def stage_as_arrow(client: Client, parts: Partitions, folder: Path, device: str) -> Partitions:
    """Read CSV once, and write Arrow files of this run that later passes map into memory."""
    # Rereading Arrow IPC was faster than rereading Parquet: 21.0 s for a whole run against 23.3 s,
    # and 27.8 s without staging (decision 3 of the design).
    folder.mkdir(parents=True, exist_ok=True)
    writes = partitions.map_partitions(parts, _write_staged, str(folder), device)
    paths = list(partitions.iter_results(client, writes))
    return partitions.map_partitions(paths, _read_staged, device)


def _write_staged(frame: Frame, folder: str, device: str) -> str:
    table = pa.Table.from_pandas(frames_of(device).to_host(frame))
    # a name of its own for each task, so that no two write to the same file
    path = Path(folder) / f"{uuid4().hex}.arrow"
    with (
        atomic_write(path) as beside,
        pa.OSFile(str(beside), "wb") as file,
        pa.ipc.new_file(file, table.schema, options=STAGING_OPTIONS) as writer,
    ):
        writer.write_table(table)
    return str(path)


def _read_staged(path: str, device: str) -> Frame:
    with pa.memory_map(path) as file:
        return frames_of(device).to_device(pa.ipc.open_file(file).read_all().to_pandas())


def collect_reader_notes(client: Client) -> list[str]:
    """Return notes for the ledger: which reader read the blocks since the last call."""
    if is_distributed(client):
        return reader_stats.describe_counts(client.run(reader_stats.take_counts).values())
    return reader_stats.describe_counts([reader_stats.take_counts()])


def write_rejected(client: Client, reads: Partitions, path: Path) -> int:
    """Write ``rejected.parquet`` if any row was rejected; return their number."""
    results = partitions.iter_results(client, partitions.map_partitions(reads, _take_rejected))
    tables = [table for table in results if table is not None and len(table)]
    if not tables:
        return 0
    rejected = pd.concat(tables, ignore_index=True)
    with atomic_write(path) as beside:
        rejected.to_parquet(beside, index=False)
    return len(rejected)
