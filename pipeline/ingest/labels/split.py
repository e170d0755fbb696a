"""The split: rows that train, rows that stop the training early (valid), rows that test.

Decision 5: a set is a function of a row's id, group or time alone, never of the partitioning.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pydantic import JsonValue

from pipeline.config.model import Split
from pipeline.console.plural import quantify
from pipeline.device import Array, Frame, Frames
from pipeline.errors import ConfigError, DataError, shorten
from pipeline.expression import quote
from pipeline.schema import SETS, TEST, TRAIN, VALID, Schema

SPAN = 2**32
"""Exclusive upper bound of the hashes."""

Times = list[np.ndarray] | None
"""Summary of a time split: times of the sampled rows on the host, an array per partition.

Datetimes are int64 µs since 1970. None for the other splits.
"""


@dataclass(frozen=True)
class Cuts:
    """The first time of the valid rows and that of the test rows (µs since 1970 for datetimes)."""

    valid: int | float
    test: int | float

    def to_json(self) -> dict[str, JsonValue]:
        """Return the content of the stage's record."""
        return {"valid": self.valid, "test": self.test}


def check_split(split: Split, schema: Schema) -> None:
    """Refuse a split that these columns cannot give, before any row is read.

    Raises:
        ConfigError: there is no such column, or its kind does not suit the split.
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
            f"split.column: {column.name!r} is {column.kind}; it must be text: {', '.join(SETS)}",
            fix="use split by: group, time or random, or name another column",
        )


# -- cuts of a time split ------------------------------------------------------------------------


def sample_times(
    frame: Frame, split: Split, device: Frames, seed: int, sample_rate: float = 1.0
) -> Times:
    """Return the times of a partition's sampled rows; None if the split is not by time.

    Raises:
        DataError: a time is missing; the error shows row ids.
    """
    if split.by != "time" or split.column is None:
        return None
    values, missing = device.to_arrays(frame[split.column])
    if bool(missing.any()):
        raise _missing_error(frame, missing, split, device)
    # decision 5: the sample's seed is seed + 2, so that it is independent of the sets
    sampled = device.hash_ints(device.row_ids(frame), seed + 2) < int(sample_rate * SPAN)
    return [device.to_host_unordered(values[sampled])]


def merge_times(a: Times, b: Times) -> Times:
    """Merge the times of two partitions."""
    return None if a is None or b is None else a + b


def choose_cuts(summary: Times, split: Split, *, is_datetime: bool = False) -> Cuts | None:
    """Choose the times at which valid and test begin; None if the split is not by time.

    The shares of the sample give the cuts. Each cut moves to the nearest change of the time, so
    that equal times stay together.

    Raises:
        DataError: all times are equal, or there is no row.
    """
    if summary is None:
        return None
    times = np.sort(np.concatenate(summary))
    if len(times) == 0 or times[0] == times[-1]:
        problem = "no value"
        if len(times):
            only = format_time(times[0].item(), is_datetime=is_datetime)
            problem = f"only one value, {only},"
        raise DataError(
            f"split by time: column {split.column!r} has {problem} in the sample",
            fix="use split by: random, or name a column whose values differ",
        )
    first_test = first_valid = _find_boundary(times, (1 - split.test) * len(times))
    # the rows before the test set need two different times to be divided once more
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


def describe_cuts(cuts: Cuts | None, split: Split, schema: Schema) -> list[str]:
    """Return a note on the cuts of a time split; nothing for other splits."""
    if cuts is None or split.column is None:
        return []
    is_datetime = schema[split.column].kind == "datetime"
    valid, test = (format_time(t, is_datetime=is_datetime) for t in (cuts.valid, cuts.test))
    from_valid = f"valid from {valid}, " if cuts.valid != cuts.test else ""
    return [f"by {split.column}: {from_valid}test from {test}"]


def _find_boundary(times: np.ndarray, wanted: float) -> int:
    """Return the start of the run of equal times nearest to position ``wanted``.

    The first run is excluded. ``times`` are sorted and hold at least two different values.
    """
    starts = np.flatnonzero(times[1:] != times[:-1]) + 1
    return int(starts[np.argmin(np.abs(starts - wanted))])


# -- sets of the rows ----------------------------------------------------------------------------


def assign_sets(frame: Frame, split: Split, cuts: Cuts | None, device: Frames, seed: int) -> Array:
    """Return the sets of the rows as int8 (n,): positions in `pipeline.schema.SETS`.

    Raises:
        DataError: a time is missing, or a value does not name a set; shows row ids or values.
    """
    if split.column is None:
        return _draw_sets(device.hash_ints(device.row_ids(frame), seed), split, device)
    if split.by == "time":
        if cuts is None:
            raise AssertionError("a time split needs its cuts")
        values, absent = device.to_arrays(frame[split.column])
        if bool(absent.any()):
            raise _missing_error(frame, absent, split, device)
        later = device.xp.where(values >= cuts.valid, VALID, TRAIN)
        return device.xp.where(values >= cuts.test, TEST, later).astype("int8")
    if split.by == "column":
        return _assign_by_name(frame, split, device)
    column = frame[split.column]
    # Rows without a group do not belong together: each is drawn on its own, by its id.
    row_hashes = device.hash_ints(device.row_ids(frame), seed)
    missing = device.to_arrays(column.isna())[0]
    group_hashes = device.hash_values(column.reset_index(drop=True), seed)
    return _draw_sets(device.xp.where(missing, row_hashes, group_hashes), split, device)


def _draw_sets(hashes: Array, split: Split, device: Frames) -> Array:
    xp = device.xp
    # The test rows are the same whatever the share of valid is.
    below_test = hashes < int(split.test * SPAN)
    below_valid = hashes < int((split.test + split.valid) * SPAN)
    return xp.where(below_test, TEST, xp.where(below_valid, VALID, TRAIN)).astype("int8")


def _assign_by_name(frame: Frame, split: Split, device: Frames) -> Array:
    codes, values = device.to_codes(frame[split.column])
    if bool((codes < 0).any()):
        raise _missing_error(frame, codes < 0, split, device)
    numbers = {name: number for number, name in enumerate(SETS)}
    table = np.array([numbers.get(str(v).strip().lower(), -1) for v in values], dtype="int8")
    # The dictionary of a partition may hold values that none of its rows has.
    used = device.bincount(codes, len(values)) > 0
    if wrong := [v for v, n, u in zip(values, table, used, strict=True) if u and n < 0]:
        raise DataError(
            f"split by column: {split.column!r} holds values that do not name a set",
            examples=[shorten(v) for v in wrong],
            fix=f"use only the values {', '.join(SETS)} (in any case)",
        )
    # one element more, so that the table has a row if the dictionary is empty
    return device.to_device(np.append(table, np.int8(TRAIN)))[codes]


def _missing_error(frame: Frame, missing: Array, split: Split, device: Frames) -> DataError:
    ids = device.to_host(device.row_ids(frame)[missing])
    condition = f"not is_missing({quote(str(split.column))})"
    needed = "time" if split.by == "time" else "set's name"
    return DataError(
        f"split by {split.by}: column {split.column!r} has {len(ids)} missing values in one "
        f"block; every row needs its {needed}",
        examples=[f"row {i}" for i in ids[:6]],
        fix=f"leave such rows out: features: [{{filter: {condition}}}]",
    )


def check_counts(counts: Mapping[str, int], split: Split, weightless: int = 0) -> None:
    """Refuse an empty train or test set, or an empty valid set that the config asks for.

    Args:
        counts: rows by set.
        split: the config's split.
        weightless: rows of weight 0, which are in no set.

    Raises:
        DataError: a set has no row; the error shows the rows of each set.
    """
    wanted = ["train", *(["valid"] if split.valid > 0 else []), "test"]
    empty = [name for name in wanted if not counts.get(name)]
    if not empty:
        return
    fix = {
        "random": "the data have too few rows for these shares: raise split.valid and split.test",
        "group": f"column {split.column!r} has too few groups: use split by: random, or larger "
        "shares",
        "time": f"column {split.column!r} has too few different times: use split by: "
        "random, or larger shares",
        "column": f"mark rows with {' and '.join(map(repr, empty))} in column {split.column!r}",
    }[split.by]
    if empty == ["valid"]:
        fix += "; or set valid: 0 (no early stopping)"
    shown = ", ".join(f"{name} {counts.get(name, 0)}" for name in SETS)
    if weightless:
        shown += f"; {quantify(weightless, 'row')} of weight 0 in no set"
        fix = f"give rows of these sets a weight above 0 (data.weight); or {fix}"
    raise DataError(f"split by {split.by}: no row is in {' or '.join(empty)} ({shown})", fix=fix)


def suggest_time_split(schema: Schema, split: Split) -> list[str]:
    """Return a note that suggests a split by time, if the rows are split at random and have one."""
    times = [c.name for c in schema if c.kind == "datetime" and c.name not in schema.target]
    if split.by != "random" or len(times) != 1:
        return []
    better = f"split={{by: time, column: {json.dumps(times[0], ensure_ascii=False)}}}"
    return [f"at random; if new rows will be later ones, add --set {shlex.quote(better)}"]
