"""Names of columns in a config, replaced by the exact names in its files before anything uses them.

This is the only place that takes other blanks and other case for the same name: ops and stages
match exactly. A config whose names are exact is returned as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.config.model import Config, Table
from pipeline.errors import ConfigError
from pipeline.features.op import Op
from pipeline.features.ops.filter import Filter
from pipeline.features.ops.join import Join
from pipeline.features.registry import parse_ops
from pipeline.ingest.column_names import NameMatcher
from pipeline.ingest.contract import Contract
from pipeline.ingest.reading_note import ReadingNote
from pipeline.ingest.tables import find_stored, infer_table
from pipeline.schema import Schema, rename_keys


@dataclass
class ExactNames:
    """A config with the names of the columns, and what was found on the way."""

    config: Config
    contracts: dict[str, Contract] = field(default_factory=dict)
    """Contracts of the side tables that ops join."""
    notes: list[ReadingNote] = field(default_factory=list)
    """A note per name that the config writes in another way."""


def match_config(config: Config, schema: Schema) -> ExactNames:
    """Return the config with the names of the columns of the data and of the side tables.

    Args:
        config: the config as it was written.
        schema: the columns of the data.

    Raises:
        ConfigError: a name may mean several columns, or an op is wrong.
        SchemaError: a side table cannot be read.
    """
    names = NameMatcher(schema.names)
    changed: dict[str, Any] = {}
    if data := names.match_source(config.data, "data"):
        changed["data"] = config.data.model_copy(update=data)
    if config.split.column is not None:
        column = names.match(config.split.column, "split.column")
        if column != config.split.column:
            changed["split"] = config.split.model_copy(update={"column": column})
    slices = tuple(names.match(name, "evaluate.slices") for name in config.evaluate.slices)
    if slices != config.evaluate.slices:
        changed["evaluate"] = config.evaluate.model_copy(update={"slices": slices})
    exact = ExactNames(config.model_copy(update=changed) if changed else config)
    walk = _OpWalk(exact, names, schema)
    walk.match_ops()
    walk.match_models()
    exact.notes = [*names.list_notes(), *exact.notes]
    return exact


@dataclass
class _OpWalk:
    """The ops in order, with the columns that each of them sees."""

    exact: ExactNames
    names: NameMatcher
    schema: Schema
    """Columns before the next op."""
    unknown: tuple[str, ...] = ()
    """Starts of names that ops give to columns which only the data show."""

    def match_ops(self) -> None:
        """Replace the names in the ops of the config."""
        config = self.exact.config
        if config.features is None:
            return
        source, entries = self.schema, list(config.features)
        for position, op in enumerate(parse_ops(entries)):
            where = f"features[{position}].{op.name}"
            if isinstance(op, Join):
                renamed: Op = self.match_join(op, where)
            else:  # filters see the data as read
                before = source if isinstance(op, Filter) else self.schema
                renamed = op.rename_columns(partial(self.match, where=where, schema=before))
            if renamed is not op:
                entries[position] = {
                    op.name: renamed.model_dump(mode="json", by_alias=True, exclude_unset=True)
                }
            self.apply(renamed)
        if entries != list(config.features):
            self.exact.config = self.exact.config.model_copy(update={"features": tuple(entries)})

    def match_join(self, op: Join, where: str) -> Join:
        """Replace the names of a side table, and return the join with the names of its columns."""
        exact, table = self.exact, self.exact.config.data.tables.get(op.table)
        if table is None:  # the job reports it
            return op
        place = f"data.tables.{op.table}"
        if op.table not in exact.contracts:
            exact.contracts[op.table] = infer_table(op.table, table)
        contract = exact.contracts[op.table]
        names = NameMatcher([*contract.schema.names, *contract.unreadable], op.table)
        # The keys are columns of the data; `read_table` finds those of the table by their names.
        keys = tuple(self.match(key, f"{place}.keys", self.schema) for key in table.keys)
        changed = names.match_source(table, place)
        changed |= {} if keys == table.keys else {"keys": keys}
        if changed:
            self.set_table(op.table, table.model_copy(update=changed))
        if op.columns is not None:
            columns = tuple(names.match(name, f"{where}.columns") for name in op.columns)
            if columns != op.columns:
                op = op.model_copy(update={"columns": columns})
        exact.notes += [note for note in names.list_notes() if note not in exact.notes]
        return op

    def set_table(self, name: str, table: Table) -> None:
        """Replace a side table of the config."""
        data = self.exact.config.data
        data = data.model_copy(update={"tables": {**data.tables, name: table}})
        self.exact.config = self.exact.config.model_copy(update={"data": data})

    def match(self, name: str, where: str, schema: Schema) -> str:
        """Return the name of a column of a schema, or the name itself."""
        if self.unknown and name.startswith(self.unknown):
            return name
        return self.names.match(name, where, schema.names)

    def apply(self, op: Op) -> None:
        """Continue with the columns after an op."""
        with suppress(ConfigError):  # `resolve_ops` reports it
            if isinstance(op, Join) and op.table in self.exact.contracts:
                keys = self.exact.config.data.tables[op.table].keys
                contract = self.exact.contracts[op.table]
                stored = find_stored(contract, keys)
                names = {in_file: name for name, in_file in stored.items()}
                types = {names.get(c.name, c.name): c.dtype for c in contract.schema}
                op = op.bind_table(keys, types)
            if op.is_dynamic():
                self.unknown += tuple(f"{name}__" for name in op.reads(self.schema))
            self.schema = op.output_schema(self.schema)

    def match_models(self) -> None:
        """Replace the names in `monotone`, which are those of columns after all ops."""
        models = self.exact.config.models or {}
        changed: dict[str, Any] = {}
        for name, params in models.items():
            signs = (params or {}).get("monotone")
            if params is None or not isinstance(signs, Mapping):
                continue
            where = f"models.{name}.monotone"
            exact = rename_keys(signs, partial(self.match, where=where, schema=self.schema))
            if exact != signs:
                changed[name] = {**params, "monotone": exact}
        if changed:
            self.exact.config = self.exact.config.model_copy(
                update={"models": {**models, **changed}}
            )
