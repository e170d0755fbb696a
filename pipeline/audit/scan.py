"""One pass over a run's rows: a sample of them, hashes of their content, and the range of times.

A row is in the sample if the hash of its id is below a bound. Rows and entities in several sets are
counted among those whose content hash is below a bound: equal rows are all in or all out, so the
shares hold for all rows, whatever the bound (Gibbons, "Distinct sampling for highly-accurate
answers to distinct values queries and event reports", VLDB 2001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.device import Array, Frame, Frames, cpu
from pipeline.device.choose import frames_of
from pipeline.schema import LABEL, SET, SETS

SAMPLE_ROWS = 500_000
"""Maximum number of rows of the sample, which is refitted, scored and compared in memory."""
SAMPLE_VALUES = 20_000_000
"""Maximum number of values of the sample, in columns of the data and of the matrix."""
VALUE_BYTES = 80
"""Bytes of memory per value: frame, matrix, perturbed copies of both, and intermediate arrays."""
HASHED_ROWS = 5_000_000
"""Maximum number of rows whose hashes are compared."""
SPAN = 2**32
_SEED = 5

TimeRange = tuple[float, float, int]
"""First and last value, and the number of values."""


@dataclass(frozen=True)
class ScanSpec:
    """Parameters of `scan_partition`; small, and can be pickled."""

    device: str
    seed: int
    features: tuple[str, ...]
    """Columns whose values make rows equal for the models."""
    entities: tuple[str, ...]
    times: tuple[str, ...]
    id_bound: int
    """Rows whose id hashes below this bound, of 2^32, are in the sample."""
    hash_bound: int
    """Rows and entities whose content hashes below this bound, of 2^32, are compared."""


@dataclass(frozen=True)
class RowHashes:
    """Content hashes, labels and sets of the n rows whose hash is below the bound."""

    hash: np.ndarray
    """uint64 (n,) of the features."""
    label: np.ndarray
    """float64 (n,)."""
    set: np.ndarray
    """int8 (n,): positions in `SETS`."""


@dataclass(frozen=True)
class Scan:
    """Result of scanning some partitions."""

    rows: int
    samples: tuple[pd.DataFrame, ...]
    """One per partition: on the host, in storage dtypes, with row ids as index."""
    hashed: tuple[RowHashes, ...]
    """One per partition."""
    entities: Mapping[str, np.ndarray]
    """Per column int64 (k,), sorted: ``hash * 4 + set`` of the entities, each once per set."""
    entity_rows: Mapping[str, np.ndarray]
    """Per column int64 (k,): number of rows of each entity."""
    times: Mapping[str, tuple[TimeRange | None, ...]]
    """Per column: the range in each set; None if the column has no value there."""

    @cached_property
    def sample(self) -> pd.DataFrame:
        """Rows of the sample."""
        return cpu.concat(list(self.samples))

    @cached_property
    def contents(self) -> RowHashes:
        """Hashes of all rows that were hashed."""
        parts = self.hashed
        return RowHashes(
            np.concatenate([c.hash for c in parts]),
            np.concatenate([c.label for c in parts]),
            np.concatenate([c.set for c in parts]),
        )


def plan_scan(
    device: str,
    seed: int,
    rows: int,
    *,
    features: Sequence[str],
    entities: Sequence[str],
    times: Sequence[str],
    sample_rows: int = SAMPLE_ROWS,
) -> ScanSpec:
    """Choose the bounds by the number of rows."""
    id_bound, hash_bound = (
        SPAN if rows <= wanted else SPAN * wanted // rows for wanted in (sample_rows, HASHED_ROWS)
    )
    return ScanSpec(
        device, seed, tuple(features), tuple(entities), tuple(times), id_bound, hash_bound
    )


def choose_sample_size(columns: int, memory: int) -> int:
    """Return the maximum number of rows of the sample.

    Args:
        columns: number of columns of the data and of the matrix together.
        memory: bytes that the sample may take, intermediate arrays included.
    """
    return min(SAMPLE_ROWS, min(SAMPLE_VALUES, memory // VALUE_BYTES) // max(columns, 1))


def scan_partition(frame: Frame, spec: ScanSpec) -> Scan:
    """Scan a partition from `pipeline.ingest.labels.assign.assign_labels`."""
    device = frames_of(spec.device)
    sets, label = device.to_arrays(frame[SET])[0].astype("int8"), device.to_floats(frame[LABEL])
    # The seed differs from that of the split: the sample must hold rows of all sets.
    sampled = device.hash_ints(device.row_ids(frame), spec.seed + 2) < spec.id_bound
    sample = frame[sampled]
    sample = sample.assign(
        **{name: device.unpack_integers(sample[name]) for name in sample.columns}
    )
    hashes = hash_rows(frame, spec.features, device)
    compared = (hashes >> device.xp.uint64(32)).astype("int64") < spec.hash_bound
    contents = RowHashes(*(device.to_host(values[compared]) for values in (hashes, label, sets)))
    entities: dict[str, np.ndarray] = {}
    entity_rows: dict[str, np.ndarray] = {}
    for name in spec.entities:
        present = ~device.to_arrays(frame[name].isna())[0]
        hashed = device.hash_values(frame[name].reset_index(drop=True), _SEED)
        used = present & (hashed < spec.hash_bound)
        # Hash and set in one number: one sort counts the rows of each entity in each set.
        keys = device.to_host(hashed[used] * 4 + sets[used])
        entities[name], entity_rows[name] = np.unique(keys, return_counts=True)
    times: dict[str, tuple[TimeRange | None, ...]] = {}
    for name in spec.times:
        values, missing = device.to_arrays(frame[name])
        by_set = [values[(sets == number) & ~missing] for number in range(len(SETS))]
        times[name] = tuple(
            (t.min().item(), t.max().item(), len(t)) if len(t) else None for t in by_set
        )
    return Scan(
        len(frame),
        (device.to_host(sample),),
        (contents,),
        entities,
        entity_rows,
        times,
    )


def hash_rows(frame: Frame, names: Sequence[str], device: Frames) -> Array:
    """Hash each row's values in these columns: uint64 (n,)."""
    xp = device.xp
    mixed = xp.zeros(len(frame), dtype="uint64")
    for name in names:
        hashed = device.hash_values(frame[name].reset_index(drop=True), _SEED)
        # An odd multiplier and a shift are bijective: they mix the bits without losing any, and
        # make the order of the columns matter.
        mixed = (mixed ^ hashed.astype("uint64")) * xp.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> xp.uint64(29)
    return mixed


def merge_scans(a: Scan, b: Scan) -> Scan:
    """Merge the scans of different partitions."""
    entities: dict[str, np.ndarray] = {}
    entity_rows: dict[str, np.ndarray] = {}
    for name in a.entities:
        both = np.concatenate([a.entities[name], b.entities[name]])
        entities[name], inverse = np.unique(both, return_inverse=True)
        counts = np.concatenate([a.entity_rows[name], b.entity_rows[name]])
        # Weights make bincount return floats, which are exact up to 2^53 rows.
        summed = np.bincount(inverse, weights=counts, minlength=len(entities[name]))
        entity_rows[name] = summed.astype("int64")
    times = {name: tuple(map(_merge_ranges, r, b.times[name])) for name, r in a.times.items()}
    return Scan(
        a.rows + b.rows,
        (*a.samples, *b.samples),
        (*a.hashed, *b.hashed),
        entities,
        entity_rows,
        times,
    )


def _merge_ranges(a: TimeRange | None, b: TimeRange | None) -> TimeRange | None:
    if a is None or b is None:
        return a or b
    return min(a[0], b[0]), max(a[1], b[1]), a[2] + b[2]
