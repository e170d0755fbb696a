"""Fitted states by what they depend on, kept on disk: an op that has not changed is not refitted.

A step's key is a hash of its op, of the columns that it reads, of the steps that made those, of the
rows, and of its side tables' files. So it does not matter where in the list it stands, nor which
ops stand beside it.
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
    """A folder for each state, named by its key."""
    rows: str
    """The key of the rows, of their sets, and of what computes."""
    tables: Mapping[str, Any]
    """By side table: what tells whether its content is another."""
    keys: dict[int, str] = field(default_factory=dict)
    """The steps' keys, by place, once they are settled."""
    kept: list[str] = field(default_factory=list)
    """The ops whose states were there, in the order in which they were asked for."""
    fitted: list[str] = field(default_factory=list)
    """The others."""
    _there: dict[int, bool] = field(default_factory=dict)

    def compute_keys(self, steps: Sequence[Step]) -> None:
        """Settles the keys of the steps, as far as their columns are known."""
        made_by: dict[str, str] = {}
        regrouped: list[str] = []
        for place, step in enumerate(steps):
            if place not in self.keys or not step.done:
                self.keys[place] = self._key(step, made_by, regrouped)
            key = self.keys[place]
            if step.op.is_dynamic() and not step.done:
                return  # what it makes is not known yet
            if step.op.regroup_by() is not None:  # and with it the order of the rows
                regrouped.append(key)
            made_by |= dict.fromkeys((column.name for column in step.produces), key)

    def _key(self, step: Step, made_by: Mapping[str, str], regrouped: list[str]) -> str:
        reads = [(n, step.schema[n].dtype, made_by.get(n, "data")) for n in step.reads]
        tables = {name: self.tables.get(name) for name in step.op.tables()}
        facts = [self.rows, dump_op(step.op), reads, regrouped, tables]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def has(self, place: int) -> bool:
        """Whether the step's state is there, and as it was left."""
        if place not in self._there:
            self._there[place] = _intact(self.folder / self.keys[place])
        return self._there[place]

    def store_or_load(self, place: int, fitted: State, op: Op, schema: Schema) -> State:
        """The step's state: the one that is there, else this one, which then is; as if loaded.

        Raises:
            InputError: what is there is not a state of the op.
        """
        folder = self.folder / self.keys[place]
        path = folder / STATE
        if not self.has(place):
            shutil.rmtree(folder, ignore_errors=True)
            entry = state.dump(fitted, folder, 0)
            tables = {n: hash_file(folder / state.TABLES / n) for n in state.list_tables(entry)}
            write_json(path, {"state": entry, "tables": tables})
            loaded = state.load_checked(op, schema, entry, folder, path=path, place="state")
            same: State = state.reuse_equal_frames(fitted, loaded)
            return same
        entry = read_json(path)["state"]
        return state.load_checked(op, schema, entry, folder, path=path, place="state")

    def remove_unused(self, steps: Sequence[Step]) -> None:
        """Removes the states of other plans, and tells kept from fitted ops."""
        for place, known in sorted(self._there.items()):
            (self.kept if known else self.fitted).append(steps[place].op.name)
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name not in self.keys.values():
                    shutil.rmtree(path)

    def notes(self) -> list[str]:
        """What the ledger says, where some states were there and others were not."""
        if not self.kept:
            return []
        return [f"kept: {', '.join(self.kept)}; fitted: {', '.join(self.fitted) or 'nothing'}"]


class StoredState(StoredObject):
    """A fitted state with the hashes of its tables."""

    state: dict[str, Any]
    tables: dict[Annotated[str, Field(pattern=r"^[^/\x00]+$")], Sha256]


@cache
def _states() -> TypeAdapter[StoredState]:
    return TypeAdapter(StoredState)


def _intact(folder: Path) -> bool:
    try:
        found = check_stored(_states(), read_json(folder / STATE), folder / STATE)
        tables = found.tables.items()
        return all(hash_file(folder / state.TABLES / n) == known for n, known in tables)
    except (InputError, OSError):
        return False
