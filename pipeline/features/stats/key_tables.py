"""Keys of one or several columns: rows to group numbers, and rows to positions in a key table.

A *key table* is a host frame with the columns ``key_0``, ``key_1``, … in plain dtypes (str, int64,
float64, bool; datetimes as int64 µs). It has one row per key and no missing values, so it can be
stored as Parquet unchanged. A row with a missing key belongs to no group.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.device import MISSING, UNSEEN, Array, Frame, Frames
from pipeline.errors import DataError

MAX_KEYS = 5_000_000
"""Most keys of a fitted table."""
_MAX_NUMBER = 2**62  # numbers of combined keys stay below it, so that int64 never overflows


def key_names(n: int) -> list[str]:
    """Return ``key_0`` … ``key_<n-1>``."""
    return [f"key_{i}" for i in range(n)]


def to_key_column(values: np.ndarray) -> pd.Series:
    """Return a column of a key table from host values (object of str, or numbers)."""
    if values.dtype == object:
        return pd.Series(values, dtype="str")
    if values.dtype.kind in "iu":
        return pd.Series(values.astype("int64"))
    return pd.Series(values.astype("float64") if values.dtype.kind == "f" else values)


def to_key_values(column: pd.Series | pd.Index) -> np.ndarray:
    """Return the values of a key table's column as `Frames.find_positions` takes them."""
    return column.to_numpy(dtype=None if column.dtype.kind in "iufb" else object)


def group_rows(frame: Frame, names: Sequence[str], device: Frames) -> tuple[Array, pd.DataFrame]:
    """Return the group of each row, and the key table of the groups.

    Returns:
        (codes, keys): int64 (n,) rows of ``keys``, -1 where a key is missing. With a single
        column, the table may hold keys that no row has: count the rows.
    """
    xp = device.xp
    columns = [device.to_codes(frame[name]) for name in names]
    number = columns[0][0].astype("int64")
    if len(columns) == 1:
        return number, pd.DataFrame({"key_0": to_key_column(columns[0][1])})
    missing, size = number < 0, len(columns[0][1])
    for codes, values in columns[1:]:
        if size * len(values) >= _MAX_NUMBER:  # renumber by what occurs: at most a number per row
            distinct, number = xp.unique(number, return_inverse=True)
            size = len(distinct)
        number = number * max(len(values), 1) + codes
        size *= max(len(values), 1)
        missing = missing | (codes < 0)
    present = xp.flatnonzero(~missing)
    _, first, inverse = xp.unique(number[present], return_index=True, return_inverse=True)
    group = xp.full(len(missing), -1, dtype="int64")
    group[present] = inverse.reshape(-1)
    examples = present[first]  # one row per group, to read its keys from
    keys = {
        name: to_key_column(values[device.to_host(codes[examples])])
        for name, (codes, values) in zip(key_names(len(columns)), columns, strict=True)
    }
    return group, pd.DataFrame(keys)


def find_positions(frame: Frame, names: Sequence[str], keys: pd.DataFrame, device: Frames) -> Array:
    """Find the row of the key table that each row of the frame belongs to.

    Args:
        keys: host frame whose columns ``key_0`` … stand for ``names``; other columns are ignored.

    Returns:
        int64 (n,): a position in ``keys``; `UNSEEN`, or `MISSING` where any key is missing.
    """
    xp = device.xp
    values = [to_key_values(keys[name]) for name in key_names(len(names))]
    if len(names) == 1:
        return device.find_positions(frame[names[0]], values[0], (keys, key_names(1)[0]))
    numbers, of_table = _find_column_positions(frame[names[0]], keys, 0, device)
    missing = numbers == MISSING
    for i, name in enumerate(names[1:], 1):
        more, more_table = _find_column_positions(frame[name], keys, i, device)
        missing = missing | (more == MISSING)
        size = int(more_table.max()) + 1 if len(more_table) else 1
        # Renumbered after each column: a number is at most rows of the table * distinct values.
        pairs, of_table = np.unique(of_table * size + more_table, return_inverse=True)
        numbers = xp.where((numbers < 0) | (more < 0), -1, numbers * size + more)
        numbers = _search_sorted(numbers, pairs, (keys, f"pairs of {i + 1} columns"), device)
    rows = device.cache_array(keys, "rows", lambda: _invert_positions(of_table, len(keys)))
    at = rows[numbers]  # unseen (-1) reads the last
    return xp.where(missing, MISSING, at) if bool(missing.any()) else at


def _invert_positions(at: np.ndarray, length: int) -> np.ndarray:
    """Return int64 (length + 1,): i at position ``at[i]``, `UNSEEN` elsewhere."""
    rows = np.full(length + 1, UNSEEN, dtype="int64")
    rows[at] = np.arange(len(at))
    return rows


def _find_column_positions(
    series: Frame, keys: pd.DataFrame, number: int, device: Frames
) -> tuple[Array, np.ndarray]:
    """Return positions among the table's distinct values: of the rows, and of the table's rows."""
    name = f"key_{number}"
    of_table, distinct = pd.factorize(keys[name])  # not of objects: see `words.numbered`
    at = device.find_positions(series, to_key_values(distinct), (keys, f"distinct {name}"))
    return at, of_table.astype("int64")


def _search_sorted(
    numbers: Array, keys: np.ndarray, source: tuple[pd.DataFrame, str], device: Frames
) -> Array:
    """Return the positions of the numbers in ``keys`` (sorted, none negative), or UNSEEN.

    ``source`` is the fitted table that ``keys`` come from, and their name in the device's cache.
    """
    xp = device.xp
    end = int(keys[-1]) + 1 if len(keys) else 0
    if end <= 4 * len(numbers):  # a table costs a fiftieth of a search (docs/benchmarks.md)
        at_number = device.cache_array(
            source[0], f"table of {source[1]}", lambda: _invert_positions(keys, end)
        )
        inside = (numbers >= 0) & (numbers < end)
        return at_number[xp.where(inside, numbers, end)]
    last = np.iinfo("int64").max
    table = device.cache_array(source[0], source[1], lambda: np.append(keys, last))
    at = xp.searchsorted(table, numbers)
    return xp.where(table[at] == numbers, at, UNSEEN)


def take_or_last(values: Array, at: Array, device: Frames) -> Array:
    """Return ``values[at]``, and the last of the values where ``at`` is negative."""
    return values[device.xp.where(at < 0, len(values) - 1, at)]


def check_key_count(count: int, op: str, what: str) -> None:
    """Refuse a table of more than `MAX_KEYS` keys.

    Raises:
        DataError: names the op and the column, and how to get fewer keys.
    """
    if count > MAX_KEYS:
        raise DataError(
            f"{op}: {what} has more than {MAX_KEYS:,} distinct values ({count:,})",
            fix=f"reduce the number of groups with hash, or categorify with max_size, on {what} "
            "before this op; or leave it out",
        )
