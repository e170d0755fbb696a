"""Fitted state on disk: JSON values in ``plan.json``, frames as Parquet in ``tables/``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.artifacts import manifest
from pipeline.artifacts.files import atomic_write
from pipeline.artifacts.stored_table import TableLimits, read_stored_table
from pipeline.config.stored import misfit_error
from pipeline.errors import InputError
from pipeline.features.op import Op, State
from pipeline.features.saved_state import (
    MAX_CELLS,
    MAX_ROWS,
    MAX_TEXT,
    check_state,
    check_table,
)
from pipeline.schema import Schema

TABLES = "tables"


def dump(state: State, folder: Path, step: int) -> dict[str, Any]:
    """Write the state's frames to ``folder/tables/`` and return the rest as JSON.

    A frame at path ``a/b`` of the state becomes ``tables/<step>-a-b.parquet`` and is replaced by
    ``{"$table": "<file name>"}``.
    """
    entry = _dump(state, folder, f"{step:02d}")
    assert isinstance(entry, dict)
    return entry


def _dump(value: Any, folder: Path, path: str) -> Any:
    if isinstance(value, pd.DataFrame):
        name = f"{re.sub(r'[^A-Za-z0-9_-]+', '_', path)[:80]}.parquet"
        target = folder / TABLES / name
        if target.exists():  # column names that differ only in replaced characters
            name = f"{target.stem}-{len(list(target.parent.iterdir()))}.parquet"
        with atomic_write(folder / TABLES / name) as beside:
            value.to_parquet(beside, index=False)
        return {"$table": name}
    if isinstance(value, Mapping):
        return {str(k): _dump(v, folder, f"{path}-{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_dump(v, folder, f"{path}-{i}") for i, v in enumerate(value)]
    return value


def load(
    entry: Any,
    folder: Path,
    read: manifest.FileReader = manifest.read_unverified,
    bounds: TableLimits | None = None,
) -> State:
    """Load what `dump` wrote.

    Args:
        entry: what `dump` returned.
        folder: the folder that `dump` wrote to.
        read: opens a table.
        bounds: the most that one table may hold.

    Raises:
        InputError: a table's name leads out of the folder, or it cannot be read.
    """
    state = _load(entry, folder, read, bounds or TableLimits(MAX_ROWS, 1_000, MAX_TEXT))
    assert isinstance(state, dict)
    return state


def _load(entry: Any, folder: Path, read: manifest.FileReader, bounds: TableLimits) -> Any:
    if isinstance(entry, dict) and set(entry) == {"$table"}:
        name = str(entry["$table"])
        if Path(name).name != name:  # a run folder from elsewhere may name any path
            raise InputError(f"plan.json names the table {name!r}, which is outside the run")
        return read_stored_table(folder / TABLES / name, bounds, read)
    if isinstance(entry, dict):
        return {k: _load(v, folder, read, bounds) for k, v in entry.items()}
    if isinstance(entry, list):
        return [_load(v, folder, read, bounds) for v in entry]
    return entry


def load_checked(
    op: Op,
    schema: Schema,
    entry: Any,
    folder: Path,
    read: manifest.FileReader = manifest.read_unverified,
    *,
    path: Path,
    place: str,
    cells: int = MAX_CELLS,
) -> State:
    """Load the state of an op and check it: see `pipeline.features.saved_state`.

    Args:
        op: the op that the state belongs to.
        schema: the columns before the op.
        entry: what `dump` returned.
        folder: the folder that `dump` wrote to.
        read: opens a table.
        path: the file that holds the entry.
        place: where in the file it is.
        cells: most values of all tables together.

    Raises:
        InputError: the state does not fit the op; names the file and the place.
    """
    wanted = check_state(op, schema, entry, path, place)
    loaded: dict[str, pd.DataFrame] = {}
    # The sizes are limited while reading, so that a small file cannot claim a huge table.
    for name, expected in zip(list_tables(entry), wanted, strict=False):
        width = max(1, len(expected.columns))
        rows = min(expected.rows, MAX_ROWS, cells // width)
        frame = load({"": {"$table": name}}, folder, read, TableLimits(rows, width, MAX_TEXT))[""]
        check_table(frame, expected, folder / TABLES / name)
        cells -= frame.size
        loaded[name] = frame
    if len(list_tables(entry)) != len(wanted):
        raise misfit_error(path, place, f"must name {len(wanted):,} tables")
    state = _with_tables(entry, loaded)
    assert isinstance(state, dict)
    return state


def _with_tables(entry: Any, loaded: Mapping[str, pd.DataFrame]) -> Any:
    if isinstance(entry, dict) and set(entry) == {"$table"}:
        return loaded[entry["$table"]]
    if isinstance(entry, dict):
        return {k: _with_tables(v, loaded) for k, v in entry.items()}
    if isinstance(entry, list):
        return [_with_tables(v, loaded) for v in entry]
    return entry


def count_cells(state: Any) -> int:
    """Count the values of a state's frames."""
    if isinstance(state, pd.DataFrame):
        return int(state.size)
    if isinstance(state, Mapping):
        return sum(map(count_cells, state.values()))
    return sum(map(count_cells, state)) if isinstance(state, list | tuple) else 0


def reuse_equal_frames(state: Any, loaded: Any) -> Any:
    """Return a reloaded state with the original frames in place of equal ones."""
    # Devices cache copies of a frame by its identity, so the original must stay in use.
    if isinstance(loaded, pd.DataFrame):
        return state if state.equals(loaded) and _kinds(state) == _kinds(loaded) else loaded
    if isinstance(loaded, dict):
        original = {str(key): value for key, value in state.items()}
        return {key: reuse_equal_frames(original[key], value) for key, value in loaded.items()}
    if isinstance(loaded, list):
        return [reuse_equal_frames(a, b) for a, b in zip(state, loaded, strict=True)]
    return loaded


def _kinds(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return [(str(name), str(dtype)) for name, dtype in frame.dtypes.items()]


def list_tables(entry: Any) -> list[str]:
    """List the Parquet files that a dumped state refers to."""
    if isinstance(entry, dict):
        if set(entry) == {"$table"}:
            return [str(entry["$table"])]
        return [name for value in entry.values() for name in list_tables(value)]
    if isinstance(entry, list):
        return [name for value in entry for name in list_tables(value)]
    return []
