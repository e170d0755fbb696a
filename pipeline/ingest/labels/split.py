"""Which rows train, which stop the training early (valid), which judge the models (test).

Decision 5: a set is a function of a row's id, group or time alone, never of the partitioning.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from pipeline.config.model import Split
from pipeline.device import Array, Frame, Frames
from pipeline.errors import ConfigError, DataError, shorten
from pipeline.expression import quote
from pipeline.schema import SETS, TEST, TRAIN, VALID, Schema

SPAN = 2**32  # hashes lie below

Times = list[np.ndarray] | None
"""Summary of a time split: the sampled rows' times (int64 µs for datetimes), on the host, an array
a partition."""


@dataclass(frozen=True)
class Cuts:
    """The first time of the valid rows and that of the test rows (µs since 1970 for datetimes)."""

    valid: int | float
    test: int | float

    def to_json(self) -> dict[str, Any]:
        """For the run folder."""
        return {"valid": self.valid, "test": self.test}


def check_split(split: Split, schema: Schema) -> None:
    """Refuses a split that these columns cannot give, before any row is read.

    Raises:
        ConfigError: no such column, or a time column that is neither numbers nor datetimes.
    """
    if split.column is None:
        return
    if split.column not in schema:
        message, fix = schema.explain_absence(split.column)
        raise ConfigError(f"split.column: {message}", fix=fix)
    column = schema[split.column]
    if split.by == "time" and column.kind not in ("numeric", "datetime"):
        raise ConfigError(
            f"split.column: {column.name!r} is {column.kind}, not a time",
            fix=f"if its values are dates, say so: data.types: {{{column.name}: datetime}}",
        )
    if split.by == "column" and column.kind != "text":
        raise ConfigError(
            f"split.column: {column.name!r} is {column.kind}; it must hold {', '.join(SETS)}",
            fix="split by: group, time or random, or name another column",
        )


# -- where a time split cuts -----------------------------------------------------------------------
def sample_times(
    frame: Frame, split: Split, device: Frames, seed: int, sample_rate: float = 1.0
) -> Times:
    """The times of a partition's rows in the sample (decision 5: seed + 2); None if not by time.

    Raises:
        DataError: a time is missing; shows row ids.
    """
    if split.by != "time" or split.column is None:
        return None
    values, missing = device.to_arrays(frame[split.column])
    if bool(missing.any()):
        raise _missing_error(frame, missing, split, device)
    sampled = device.hash_ints(device.row_ids(frame), seed + 2) < int(sample_rate * SPAN)
    return [device.to_host_unordered(values[sampled])]


def merge_times(a: Times, b: Times) -> Times:
    """The times of two partitions."""
    return None if a is None or b is None else a + b


def choose_cuts(summary: Times, split: Split, *, is_datetime: bool = False) -> Cuts | None:
    """The times at which valid and test begin; None if the split is not by time.

    The cuts are where the shares of the sample say, moved to the nearest change of the time:
    equal times stay together.

    Raises:
        DataError: all times are equal, or there is no row.
    """
    if summary is None:
        return None
    times = np.sort(np.concatenate(summary))
    if len(times) == 0 or times[0] == times[-1]:
        only = format_time(times[0].item(), is_datetime=is_datetime) if len(times) else ""
        seen = f"only one value, {only}," if only else "no value"
        raise DataError(
            f"split by time: column {split.column!r} has {seen} in the sample",
            fix="split by: random, or name a column whose values differ",
        )
    first_test = first_valid = _find_boundary(times, (1 - split.test) * len(times))
    if split.valid > 0 and times[0] != times[first_test - 1]:
        first_valid = _find_boundary(
            times[:first_test], (1 - split.test - split.valid) * len(times)
        )
    return Cuts(times[first_valid].item(), times[first_test].item())


def format_time(time: float, *, is_datetime: bool) -> str:
    """Format a time for people: µs since 1970 as a date, with its time of day unless midnight."""
    if not is_datetime:
        return str(time)
    stamp = datetime(1970, 1, 1) + timedelta(microseconds=time)
    return stamp.isoformat(sep=" ").removesuffix(" 00:00:00")


def describe_cuts(found: Cuts | None, split: Split, schema: Schema) -> list[str]:
    """Where a time split begins its valid and test rows, as a note; nothing for other splits."""
    if found is None or split.column is None:
        return []
    is_datetime = schema[split.column].kind == "datetime"
    valid, test = (format_time(t, is_datetime=is_datetime) for t in (found.valid, found.test))
    from_valid = f"valid from {valid}, " if found.valid != found.test else ""
    return [f"by {split.column}: {from_valid}test from {test}"]


def _find_boundary(times: np.ndarray, wanted: float) -> int:
    """The start of a run of equal times nearest to position ``wanted``, but not the first run.

    ``times`` are sorted and hold two different values at least.
    """
    starts = np.flatnonzero(times[1:] != times[:-1]) + 1
    return int(starts[np.argmin(np.abs(starts - wanted))])


# -- the set of each row ---------------------------------------------------------------------------
def assign_sets(frame: Frame, split: Split, cuts: Cuts | None, device: Frames, seed: int) -> Array:
    """int8 (n,): 0 train, 1 valid, 2 test, as in `columns.SETS`; an array of the device.

    Rows without a group are drawn one by one, by their ids: they belong to no group.

    Raises:
        DataError: a missing time, or a value that is no set's name; shows row ids or values.
    """
    if split.column is None:
        return _draw_sets(device.hash_ints(device.row_ids(frame), seed), split, device)
    if split.by == "time":
        return _assign_by_time(frame, split, cuts, device)
    if split.by == "column":
        return _assign_by_name(frame, split, device)
    column = frame[split.column]
    alone = device.hash_ints(device.row_ids(frame), seed)
    missing = device.to_arrays(column.isna())[0]
    grouped = device.hash_values(column.reset_index(drop=True), seed)
    return _draw_sets(device.xp.where(missing, alone, grouped), split, device)


def _draw_sets(hashes: Array, split: Split, device: Frames) -> Array:
    xp = device.xp
    below_test = hashes < int(split.test * SPAN)
    below_valid = hashes < int((split.test + split.valid) * SPAN)
    return xp.where(below_test, TEST, xp.where(below_valid, VALID, TRAIN)).astype("int8")


def _assign_by_time(frame: Frame, split: Split, cuts: Cuts | None, device: Frames) -> Array:
    if cuts is None:
        raise AssertionError("a time split needs its cuts")
    values, missing = device.to_arrays(frame[split.column])
    if bool(missing.any()):
        raise _missing_error(frame, missing, split, device)
    xp = device.xp
    later = xp.where(values >= cuts.valid, VALID, TRAIN)
    return xp.where(values >= cuts.test, TEST, later).astype("int8")


def _assign_by_name(frame: Frame, split: Split, device: Frames) -> Array:
    codes, values = device.to_codes(frame[split.column])
    if bool((codes < 0).any()):
        raise _missing_error(frame, codes < 0, split, device)
    known = {name: number for number, name in enumerate(SETS)}
    table = np.array([known.get(str(v).strip().lower(), -1) for v in values], dtype="int8")
    used = device.bincount(codes, len(values)) > 0
    if wrong := [v for v, n, u in zip(values, table, used, strict=True) if u and n < 0]:
        raise DataError(
            f"split by column: {split.column!r} holds values that are no set",
            examples=[shorten(v) for v in wrong],
            fix=f"its values must be {', '.join(SETS)} (in any case)",
        )
    return device.to_device(np.append(table, np.int8(TRAIN)))[codes]


def _missing_error(frame: Frame, missing: Array, split: Split, device: Frames) -> DataError:
    ids = device.to_host(device.row_ids(frame)[missing])
    shown = f"not is_missing({quote(str(split.column))})"
    what = "time" if split.by == "time" else "set's name"
    return DataError(
        f"split by {split.by}: column {split.column!r} has {len(ids)} missing values in one "
        f"block; every row needs its {what}",
        examples=[f"row {i}" for i in ids[:6]],
        fix=f"leave such rows out: features: [{{filter: {shown}}}]",
    )


def check_counts(counts: Mapping[str, int], split: Split) -> None:
    """Refuses an empty train or test set, or an empty valid set that the config wants.

    Raises:
        DataError: a set has no row; shows the rows of each set.
    """
    wanted = ["train", *(["valid"] if split.valid > 0 else []), "test"]
    empty = [name for name in wanted if not counts.get(name)]
    if not empty:
        return
    fix = {
        "random": "the data have too few rows for these shares: raise split.valid and split.test",
        "group": f"column {split.column!r} has too few groups: split by: random, or larger shares",
        "time": f"column {split.column!r} has too few different times: split by: random, or "
        "larger shares",
        "column": f"mark rows with {' and '.join(map(repr, empty))} in column {split.column!r}",
    }[split.by]
    if empty == ["valid"]:
        fix += "; or `valid: 0` (no early stopping)"
    shown = ", ".join(f"{name} {counts.get(name, 0)}" for name in SETS)
    raise DataError(f"split by {split.by}: no row is in {' or '.join(empty)} ({shown})", fix=fix)


def suggest_time_split(schema: Schema, split: Split) -> list[str]:
    """A split by time for rows that have one time and are split at random; else nothing."""
    times = [c.name for c in schema if c.kind == "datetime" and c.name not in schema.target]
    if split.by != "random" or len(times) != 1:
        return []
    better = f"split={{by: time, column: {json.dumps(times[0], ensure_ascii=False)}}}"
    return [f"at random; if new rows are later ones: --set {shlex.quote(better)}"]
