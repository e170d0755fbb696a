"""The memory plan: what a run will hold, and whether its rows are held or streamed.

Widths are those of the storage dtypes. The other constants were fitted to measured peaks
(docs/scaling.md); `python -m pipeline plan` prints what follows, the ledger has the peaks.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.columns import Schema
from pipeline.config import Memory
from pipeline.errors import MachineError

# Bytes a value: data, and a mask where the dtype has one. Text is an int32 code.
WIDTH: Mapping[str, int] = {
    "int64": 9, "int32": 5, "float64": 8, "float32": 4, "bool": 2, "datetime": 8, "text": 4,
}  # fmt: skip
IMPORTS = 330_000_000
"""Resident bytes of the libraries and the client once a run has started."""
IN_FLIGHT = 2
"""Copies of a block's columns, as read and as float64 features, that a task holds at its peak."""
TRAINING_ROW = 110
"""Bytes per training row beside its bins: gradients, row sets, predictions, labels, sketches."""
AUTO_SHARE = 0.7
"""Of the machine's memory, when ``memory.host`` is auto: the rest is page cache and others'."""
BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on the host by what holds them, and what follows."""

    limit: int
    imports: int
    frames: int
    """The columns that are read, of all rows; held for the refit while models train."""
    matrix: int
    """float32, all rows."""
    training: int
    """Bins and what XGBoost keeps per training row."""
    in_flight: int
    """Blocks that are being read and transformed."""
    hold: bool
    """Rows are held between passes; else each pass reads them again."""
    train_rate: float
    """Share of the training rows that XGBoost gets: 1.0 unless even streaming does not fit."""
    block_bytes: int

    @property
    def held(self) -> int:
        """The peak of a run that holds its rows."""
        return self.imports + self.frames + self.matrix + self.training + self.in_flight

    @property
    def streamed(self) -> int:
        """The peak of a run that streams them."""
        return self.imports + int(self.training * self.train_rate) + self.in_flight

    @property
    def total(self) -> int:
        """The peak of the run as it is planned."""
        return self.held if self.hold else self.streamed


def plan(
    memory: Memory, *, rows: int, read: Schema, features: int, train_share: float, threads: int
) -> MemoryPlan:
    """Whether the rows fit, and what gives way if they do not.

    Args:
        rows: rows of the data.
        read: the columns that are read.
        features: columns of the float32 matrix.
        train_share: share of the rows that train.
        threads: partitions worked on at a time.

    Raises:
        MachineError: the training rows do not fit, and ``memory.sample`` is never.
    """
    limit = memory.host if memory.host is not None else int(AUTO_SHARE * available())
    row = sum(WIDTH[c.dtype] for c in read) + 8
    train = int(rows * train_share)
    block_bytes = max(min(BLOCK_BYTES, limit // 100), 4 << 20)
    block_rows = min(rows, block_bytes // (8 * max(len(read.columns), 1)))
    block = block_rows * (row + 16 * features) * IN_FLIGHT * threads
    frames, matrix, training = rows * row, rows * 4 * features, train * (features + TRAINING_ROW)
    found = MemoryPlan(limit, IMPORTS, frames, matrix, training, block, True, 1.0, block_bytes)
    if found.held <= limit:
        return found
    room = max(limit - IMPORTS - block, limit // 10)
    rate = min(1.0, room / max(training, 1))
    if rate < 1 and memory.sample == "never":
        need = IMPORTS + block + training
        raise MachineError(
            f"memory.host: XGBoost needs {need / 1e9:.1f} GB for {train:,} training rows, "
            f"{limit / 1e9:.1f} GB are allowed",
            fix=f"memory.host: {need / 1e9:.1f}GB, or memory.sample: auto to train on "
            f"{rate:.0%} of them",
        )
    return MemoryPlan(limit, IMPORTS, frames, matrix, training, block, False, rate, block_bytes)


def available() -> int:
    """Bytes of memory that this process may use: the container's limit or the machine's."""
    from distributed.system import MEMORY_LIMIT

    return int(MEMORY_LIMIT)


def give_back() -> None:
    """Returns what the allocators keep: a third of the resident memory at a stage's end."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)
