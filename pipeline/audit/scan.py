"""One pass over the rows: a sample of them, hashes of their content, and the span of their times.

A row is in the sample by the hash of its id. Whether rows, or their entities, are in several sets
is told from all rows whose content hashes below a bound: equal ones are all in or all out, so the
shares are those of all rows, whatever the bound (Gibbons, "Distinct sampling for highly-accurate
answers to distinct values queries and event reports", VLDB 2001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.device import Frame, Frames, cpu
from pipeline.device.choose import frames_of
from pipeline.schema import LABEL, SET, SETS

SAMPLE_ROWS = 500_000
"""Rows of the sample at most: what is refitted, scored and compared, all at once in memory."""
SAMPLE_VALUES = 20_000_000
"""Values of the sample at most, in columns of the data and of the matrix."""
VALUE_BYTES = 80
"""Of memory for each: frame and matrix, both with other values too, and what is made of them."""
HASHED_ROWS = 5_000_000
"""Rows at most whose hashes are compared."""
SPAN = 2**32
_SEED = 5

Array = NDArray[Any]
TimeRange = tuple[Any, Any, int]
"""First and last value, and how many there are."""


@dataclass(frozen=True)
class ScanSpec:
    """What `scan_partition` needs beside its frame; picklable and small."""

    device: str
    seed: int
    features: tuple[str, ...]
    """Rows with the same values in these are the same to the models."""
    entities: tuple[str, ...]
    times: tuple[str, ...]
    id_bound: int
    """Of 2^32: bound of the ids' hashes; ``kept``: of the contents'."""
    hash_bound: int


@dataclass(frozen=True)
class RowHashes:
    """Hashes of rows, and what they stand for; n rows whose hash is below the bound."""

    hash: Array
    """uint64 (n,) of the features."""
    label: Array
    """float64 (n,)."""
    set: Array
    """int8 (n,): positions in `SETS`."""


@dataclass(frozen=True)
class Scan:
    """What was seen of some partitions."""

    rows: int
    samples: tuple[pd.DataFrame, ...]
    """On the host, in storage dtypes, row ids as index; one a partition."""
    hashed: tuple[RowHashes, ...]
    """One a partition."""
    entities: Mapping[str, Array]
    """By column int64 (k,): ``hash * 4 + set`` of the entities, each once per set."""
    entity_rows: Mapping[str, Array]
    """By column int64 (k,): the rows of each."""
    times: Mapping[str, tuple[TimeRange | None, ...]]
    """By column: the range in each set; None where it has no value."""

    @cached_property
    def sample(self) -> pd.DataFrame:
        """The rows of the sample."""
        return cpu.concat(list(self.samples))

    @cached_property
    def contents(self) -> RowHashes:
        """Of all rows that were hashed."""
        parts = self.hashed
        return RowHashes(
            np.concatenate([c.hash for c in parts]), np.concatenate([c.label for c in parts]),
            np.concatenate([c.set for c in parts]),
        )  # fmt: skip


def plan_scan(
    device: str, seed: int, rows: int, *, features: Sequence[str], entities: Sequence[str],
    times: Sequence[str], sample_rows: int = SAMPLE_ROWS,
) -> ScanSpec:  # fmt: skip
    """With bounds by the number of rows."""
    return ScanSpec(
        device, seed, tuple(features), tuple(entities), tuple(times),
        _bound(sample_rows, rows), _bound(HASHED_ROWS, rows),
    )  # fmt: skip


def choose_sample_size(columns: int, memory: int) -> int:
    """How many rows the sample may have.

    Args:
        columns: of the data and of the matrix together.
        memory: bytes that it may take, with what is made of it.
    """
    return min(SAMPLE_ROWS, min(SAMPLE_VALUES, memory // VALUE_BYTES) // max(columns, 1))


def _bound(wanted: int, rows: int) -> int:
    return SPAN if rows <= wanted else SPAN * wanted // rows


def scan_partition(frame: Frame, spec: ScanSpec) -> Scan:
    """One partition: frames of `pipeline.ingest.labels.assign.assign_labels`."""
    device = frames_of(spec.device)
    sets, label = device.to_arrays(frame[SET])[0].astype("int8"), device.to_floats(frame[LABEL])
    sampled = device.hash_ints(device.row_ids(frame), spec.seed + 2) < spec.id_bound
    entities = {name: _entities(frame[name], sets, spec, device) for name in spec.entities}
    sample = frame[sampled]
    sample = sample.assign(
        **{name: device.unpack_integers(sample[name]) for name in sample.columns}
    )
    return Scan(
        len(frame), (device.to_host(sample),), (_contents(frame, sets, label, spec, device),),
        {name: found for name, (found, _) in entities.items()},
        {name: rows for name, (_, rows) in entities.items()},
        {name: _ranges(frame[name], sets, device) for name in spec.times},
    )  # fmt: skip


def hash_rows(frame: Frame, names: Sequence[str], device: Frames) -> Any:
    """Hash each row's values in these columns: uint64 (n,)."""
    xp = device.xp
    mixed = xp.zeros(len(frame), dtype="uint64")
    for name in names:
        hashed = device.hash_values(frame[name].reset_index(drop=True), _SEED)
        mixed = (mixed ^ hashed.astype("uint64")) * xp.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> xp.uint64(29)
    return mixed


def _contents(frame: Frame, sets: Any, label: Any, spec: ScanSpec, device: Frames) -> RowHashes:
    mixed = hash_rows(frame, spec.features, device)
    kept = (mixed >> device.xp.uint64(32)).astype("int64") < spec.hash_bound
    found = (device.to_host(values[kept]) for values in (mixed, label, sets))
    return RowHashes(*found)


def _entities(column: Any, sets: Any, spec: ScanSpec, device: Frames) -> tuple[Array, Array]:
    missing = device.to_arrays(column.isna())[0]
    hashed = device.hash_values(column.reset_index(drop=True), _SEED)
    kept = ~missing & (hashed < spec.hash_bound)
    found = device.to_host(hashed[kept] * 4 + sets[kept])
    values, rows = np.unique(found, return_counts=True)
    return values, rows


def _ranges(column: Any, sets: Any, device: Frames) -> tuple[TimeRange | None, ...]:
    values, missing = device.to_arrays(column)
    found: list[TimeRange | None] = []
    for number in range(len(SETS)):
        own = values[(sets == number) & ~missing]
        found.append((own.min().item(), own.max().item(), len(own)) if len(own) else None)
    return tuple(found)


def merge_scans(a: Scan, b: Scan) -> Scan:
    """Two partitions."""
    return Scan(
        a.rows + b.rows, (*a.samples, *b.samples), (*a.hashed, *b.hashed), *_added(a, b),
        {name: tuple(map(_spanned, own, b.times[name])) for name, own in a.times.items()},
    )  # fmt: skip


def _added(a: Scan, b: Scan) -> tuple[dict[str, Array], dict[str, Array]]:
    values: dict[str, Array] = {}
    rows: dict[str, Array] = {}
    for name in a.entities:
        both = np.concatenate([a.entities[name], b.entities[name]])
        values[name], inverse = np.unique(both, return_inverse=True)
        counts = np.concatenate([a.entity_rows[name], b.entity_rows[name]])
        summed = np.bincount(inverse, weights=counts, minlength=len(values[name]))
        rows[name] = summed.astype("int64")
    return values, rows


def _spanned(a: TimeRange | None, b: TimeRange | None) -> TimeRange | None:
    if a is None or b is None:
        return a or b
    return min(a[0], b[0]), max(a[1], b[1]), a[2] + b[2]
