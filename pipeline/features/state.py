"""Fitted state on disk: JSON values in ``plan.json``, frames as Parquet in ``tables/``."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import sealed
from pipeline.artifacts import written
from pipeline.errors import InputError
from pipeline.features.op import State

TABLES = "tables"


def dump(state: State, folder: Path, step: int) -> dict[str, Any]:
    """Writes the state's frames to ``folder/tables/`` and returns the rest as JSON.

    A frame at path ``a/b`` of the state becomes ``tables/<step>-a-b.parquet`` and is replaced by
    ``{"$table": "<file name>"}``.
    """
    entry = _dumped(state, folder, f"{step:02d}")
    assert isinstance(entry, dict)
    return entry


def _dumped(value: Any, folder: Path, path: str) -> Any:
    if isinstance(value, pd.DataFrame):
        name = f"{re.sub(r'[^A-Za-z0-9_-]+', '_', path)[:80]}.parquet"
        target = folder / TABLES / name
        if target.exists():  # two columns whose names differ in odd characters only
            name = f"{target.stem}-{len(list(target.parent.iterdir()))}.parquet"
        with written(folder / TABLES / name) as beside:
            value.to_parquet(beside, index=False)
        return {"$table": name}
    if isinstance(value, Mapping):
        return {str(k): _dumped(v, folder, f"{path}-{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_dumped(v, folder, f"{path}-{i}") for i, v in enumerate(value)]
    return value


def load(entry: Any, folder: Path, read: sealed.Read = sealed.plain) -> State:
    """The inverse of `dump`.

    Raises:
        InputError: a table's name leads out of the folder, or it cannot be read.
    """
    state = _loaded(entry, folder, read)
    assert isinstance(state, dict)
    return state


def _loaded(entry: Any, folder: Path, read: sealed.Read) -> Any:
    if isinstance(entry, dict) and set(entry) == {"$table"}:
        name = str(entry["$table"])
        if Path(name).name != name:
            raise InputError(f"plan.json names the table {name!r}, which is outside the run")
        return pd.read_parquet(io.BytesIO(read(folder / TABLES / name)))
    if isinstance(entry, dict):
        return {k: _loaded(v, folder, read) for k, v in entry.items()}
    if isinstance(entry, list):
        return [_loaded(v, folder, read) for v in entry]
    return entry


def same(state: Any, loaded: Any) -> Any:
    """What was loaded of a state that was dumped, with its own frames where these are the same.

    Of a frame a device may have a copy, which is known by the frame's identity.
    """
    if isinstance(loaded, pd.DataFrame):
        return state if state.equals(loaded) and _kinds(state) == _kinds(loaded) else loaded
    if isinstance(loaded, dict):
        own = {str(key): value for key, value in state.items()}
        return {key: same(own[key], value) for key, value in loaded.items()}
    if isinstance(loaded, list):
        return [same(a, b) for a, b in zip(state, loaded, strict=True)]
    return loaded


def _kinds(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return [(str(name), str(dtype)) for name, dtype in frame.dtypes.items()]


def tables_in(entry: Any) -> list[str]:
    """Names of the Parquet files that a dumped state refers to."""
    if isinstance(entry, dict):
        if set(entry) == {"$table"}:
            return [str(entry["$table"])]
        return [name for value in entry.values() for name in tables_in(value)]
    if isinstance(entry, list):
        return [name for value in entry for name in tables_in(value)]
    return []
