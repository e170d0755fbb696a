"""A cache of fitted states on disk: an op whose inputs are unchanged is not refitted.

A step's key is a hash of its op, the columns that it reads, the steps that produced them, the rows,
and the files of its side tables. So neither its position in the list nor unrelated ops matter.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from pipeline.artifacts.files import hash_file, read_json, write_json
from pipeline.artifacts.manifest_model import Sha256
from pipeline.config.stored import StoredObject, check_stored
from pipeline.errors import InputError
from pipeline.features.engine import state_io as state
from pipeline.features.engine.transform import Step
from pipeline.features.op import Op, State
from pipeline.features.registry import dump_op
from pipeline.schema import Schema

STATE = "state.json"


@dataclass
class StateCache:
    """The states of one fit of a plan."""

    folder: Path
    """Folder with a folder per state, named by its key."""
    rows: str
    """Key of the rows, of their sets, and of the program that computes."""
    tables: Mapping[str, Any]
    """Fingerprint of the content, by side table."""
    keys: dict[int, str] = field(default_factory=dict)
    """Keys of the steps, by position, once they are computed."""
    reused: list[str] = field(default_factory=list)
    """Ops whose states came from the cache, in the order of the plan."""
    fitted: list[str] = field(default_factory=list)
    """The other ops."""
    _cached: dict[int, bool] = field(default_factory=dict)

    def compute_keys(self, steps: Sequence[Step]) -> None:
        """Compute the keys of the steps, as far as their columns are known."""
        origins: dict[str, str] = {}  # key of the step that produced a column
        regrouped: list[str] = []
        for place, step in enumerate(steps):
            if place not in self.keys or not step.done:
                reads = [(n, step.schema[n].dtype, origins.get(n, "data")) for n in step.reads]
                tables = {name: self.tables.get(name) for name in step.op.tables()}
                parts = [self.rows, dump_op(step.op), reads, regrouped, tables]
                text = json.dumps(parts, sort_keys=True)
                self.keys[place] = hashlib.sha256(text.encode()).hexdigest()
            key = self.keys[place]
            if step.op.is_dynamic() and not step.done:
                return  # its outputs are unknown until it is fitted
            if step.op.regroup_by() is not None:  # later steps see another order of rows
                regrouped.append(key)
            origins |= dict.fromkeys((column.name for column in step.produces), key)

    def has(self, place: int) -> bool:
        """Return whether the step's state is in the cache and intact."""
        if place not in self._cached:
            self._cached[place] = _is_intact(self.folder / self.keys[place])
        return self._cached[place]

    def store_or_load(self, place: int, fitted: State, op: Op, schema: Schema) -> State:
        """Store the fitted state, or load the cached one; either is returned as if loaded.

        Raises:
            InputError: the cached state is not one of the op.
        """
        folder = self.folder / self.keys[place]
        path = folder / STATE
        if not self.has(place):
            shutil.rmtree(folder, ignore_errors=True)
            entry = state.dump(fitted, folder, 0)
            tables = {n: hash_file(folder / state.TABLES / n) for n in state.list_tables(entry)}
            write_json(path, {"state": entry, "tables": tables})
            loaded = state.load_checked(op, schema, entry, folder, path=path, place="state")
            reloaded: State = state.reuse_equal_frames(fitted, loaded)
            return reloaded
        entry = read_json(path)["state"]
        return state.load_checked(op, schema, entry, folder, path=path, place="state")

    def remove_unused(self, steps: Sequence[Step]) -> None:
        """Remove the states of other plans, and list the reused and the fitted ops."""
        for place, was_cached in sorted(self._cached.items()):
            (self.reused if was_cached else self.fitted).append(steps[place].op.name)
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name not in self.keys.values():
                    shutil.rmtree(path)

    def notes(self) -> list[str]:
        """Return the note for the ledger; none if no state was reused."""
        if not self.reused:
            return []
        return [f"kept: {', '.join(self.reused)}; fitted: {', '.join(self.fitted) or 'nothing'}"]


class StoredState(StoredObject):
    """A fitted state with the hashes of its tables."""

    state: dict[str, Any]
    tables: dict[Annotated[str, Field(pattern=r"^[^/\x00]+$")], Sha256]


@cache
def _states() -> TypeAdapter[StoredState]:
    return TypeAdapter(StoredState)


def _is_intact(folder: Path) -> bool:
    try:
        stored = check_stored(_states(), read_json(folder / STATE), folder / STATE)
        tables = stored.tables.items()
        return all(hash_file(folder / state.TABLES / name) == hash_ for name, hash_ in tables)
    except (InputError, OSError):  # a damaged state is refitted
        return False
