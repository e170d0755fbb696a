"""What a config means on this machine and these files, settled before any row is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from pipeline.cluster.client import adapt_to_device
from pipeline.config.model import Cluster, Config
from pipeline.device.choose import DeviceChoice, choose_device
from pipeline.errors import ConfigError, suggest_or_list
from pipeline.expression import Expression
from pipeline.features.engine.planner import prune_ops, resolve_ops, select_model_columns
from pipeline.features.op import Op
from pipeline.features.ops.filter import Filter
from pipeline.features.ops.join import Join
from pipeline.features.registry import parse_ops
from pipeline.ingest.contract import Contract
from pipeline.ingest.labels import split
from pipeline.ingest.labels.target import name_target_in_errors, parse_target
from pipeline.ingest.schema import infer_contract
from pipeline.ingest.sources.files import File, find_files
from pipeline.ingest.tables import read_table
from pipeline.memory.planner import device_limit
from pipeline.schema import RESERVED, Schema
from pipeline.train.model import parse_models
from pipeline.train.params import ModelParams

REFIT_BELOW = 500_000  # rows: `refit: auto`


@dataclass(frozen=True)
class Job:
    """A checked run: nothing in it can be wrong but the data's values."""

    config: Config
    choice: DeviceChoice
    cluster: Cluster
    """The config's, or what the device can use in its place."""
    moved: str
    """Why `cluster` is not the config's; "" where it is."""
    contract: Contract
    source: Schema
    """The data's columns with the target's marked."""
    target: Expression
    filters: tuple[Expression, ...]
    ops: tuple[Op, ...] | None
    """None: chosen from the data once they are read."""
    models: Mapping[str, ModelParams]
    tables: Mapping[str, pd.DataFrame]
    """Side tables that an op joins: used columns, ``attrs["keys"]``."""
    table_files: Mapping[str, Sequence[File]]
    """What each of them was read of."""
    left_out: Mapping[str, str]
    """Columns that are never features, with the reason."""
    features: tuple[str, ...]
    """Source columns that the feature ops read."""
    width: int
    """Columns of the models' matrix, as far as they are known before fitting."""
    reads: tuple[str, ...]
    """All columns that are read from the files."""

    @property
    def place(self) -> dict[str, dict[str, str]]:
        """Device and cluster: what was asked for, what is used, and why; for ``--json``."""
        own, asked = self.choice, self.config.cluster.kind
        return {
            "device": {"asked": own.requested, "chosen": own.name, "reason": own.reason},
            "cluster": {
                "asked": asked, "chosen": self.cluster.kind, "reason": self.moved or "the config's",
            },
        }  # fmt: skip

    @property
    def device_limit(self) -> int | None:
        """Bytes that the run may hold on a GPU; None: it uses none."""
        return device_limit(self.config.memory, self.choice.gpus)

    @cached_property
    def kept(self) -> tuple[str, ...]:
        """Columns that stay in the frames once labels, sets and weights are known."""
        filters = {n for f in self.filters for n in f.columns}
        wanted = {*self.features, *self.config.evaluate.slices, *filters}
        return tuple(n for n in self.reads if n in wanted)


def prepare_job(config: Config) -> Job:
    """Checks everything that files, config and machine tell before the work starts.

    Raises:
        ConfigError, SchemaError: something does not fit; the message names it.
        DeviceError: ``device: gpu`` and there is none.
    """
    choice = choose_device(config.device)
    models = parse_models(config.models)
    parsed = None if config.features is None else parse_ops(config.features)
    contract = infer_contract(config.data)
    target = parse_target(config.data.target, contract.schema.names)
    with name_target_in_errors():
        target.check(contract.schema)
    split.check_split(config.split, contract.schema)
    source = replace(contract.schema, target=frozenset(target.columns))
    filters: list[Expression] = []
    ops: tuple[Op, ...] | None = None
    tables: dict[str, pd.DataFrame] = {}
    files: dict[str, Sequence[File]] = {}
    if parsed is not None:
        filters = _filters(parsed, source)
        found = [op for op in parsed if not isinstance(op, Filter)]
        names = [op.table for op in found if isinstance(op, Join)]
        files = {n: find_files(config.data.tables[n]) for n in names if n in config.data.tables}
        ops, tables = _with_tables(found, config)  # after: a file that changes now is not known
    left_out = _left_out(config, source)
    features, width = _features(ops, source, left_out)
    reads = {*features, *target.columns, *(n for f in filters for n in f.columns)}
    reads |= set(left_out) | set(config.evaluate.slices)
    reads |= {config.split.column} if config.split.column is not None else set()
    _check_names(reads, source, config)
    cluster, moved = adapt_to_device(config.cluster, choice.name)
    return Job(
        config, choice, cluster, moved, contract, source, target, tuple(filters), ops, models,
        tables, files, left_out, tuple(features), width,
        tuple(n for n in source.names if n in reads),
    )  # fmt: skip


def _left_out(config: Config, source: Schema) -> dict[str, str]:
    found = {}
    weight = config.data.weight
    if weight is not None:
        if weight in source and source[weight].kind not in ("numeric", "bool"):
            raise ConfigError(
                f"data.weight: column {weight!r} is {source[weight].kind}, not numeric",
                fix="name a column of numbers >= 0",
            )
        found[weight] = "the rows' weights"
    if config.split.by == "column" and config.split.column is not None:
        found[config.split.column] = "the split"
    return found


def _filters(ops: Sequence[Op], source: Schema) -> list[Expression]:
    """The filters' expressions, which run on the data as read, before the split."""
    found, made = [], set[str]()
    for position, op in enumerate(ops):
        if isinstance(op, Filter):
            expression = op.expression()
            later = [n for n in expression.columns if n not in source or n in made]
            if later:
                raise ConfigError(
                    f"features[{position}].filter: {later[0]!r} "
                    + ("is made by an op before it" if later[0] in made else "is no such column"),
                    fix="filters come before the split and see only the data's own columns, as read"
                    + (
                        "" if later[0] in source else ": " + suggest_or_list(later[0], source.names)
                    ),
                )
            op.check(source)
            found.append(expression)
        elif not op.tables() and not op.is_dynamic():
            made |= {c.name for c in op.produces(source)} if _fits(op, source) else set()
    return found


def _fits(op: Op, source: Schema) -> bool:
    try:
        op.produces(source)
    except ConfigError:
        return False  # it reads columns of earlier ops; `walk` judges it
    return True


def _with_tables(
    ops: Sequence[Op], config: Config
) -> tuple[tuple[Op, ...], dict[str, pd.DataFrame]]:
    """Joins with the keys and types of their side tables filled in, and those tables."""
    filled: list[Op] = []
    tables: dict[str, pd.DataFrame] = {}
    for op in ops:
        if not isinstance(op, Join):
            filled.append(op)
            continue
        table = config.data.tables.get(op.table)
        if table is None:
            raise ConfigError(
                f"join: there is no side table {op.table!r}",
                fix=suggest_or_list(op.table, config.data.tables)
                or "describe it under data.tables",
            )
        columns = list(op.columns) if op.columns is not None else None
        schema, frame = read_table(op.table, table, columns)
        filled.append(op.bind_table(table.keys, {c.name: c.dtype for c in schema}))
        tables[op.table] = _united(tables.get(op.table), frame)
        tables[op.table].attrs["keys"] = tuple(table.keys)
    return tuple(filled), tables


def _united(known: pd.DataFrame | None, frame: pd.DataFrame) -> pd.DataFrame:
    if known is None:
        return frame
    return known.assign(**{n: frame[n] for n in frame.columns if n not in known.columns})


def _features(
    ops: tuple[Op, ...] | None, source: Schema, left_out: Mapping[str, str]
) -> tuple[list[str], int]:
    """The source columns that the features need, and how many columns the models get.

    Checks the plan as far as it can be.
    """
    if ops is None:
        names = [n for n in source.names if n not in source.target and n not in left_out]
        return names, len(names)
    walked = resolve_ops(ops, source)
    known = (
        select_model_columns(walked, left_out)
        if walked.unresolved_from is None
        else walked.final.columns
    )
    needed = prune_ops(walked, source, left_out).needed
    return [n for n in source.names if n in needed], len(known)


def _check_names(reads: set[str], source: Schema, config: Config) -> None:
    for name in sorted(reads):
        if name not in source:
            where = {config.data.weight: "data.weight", config.split.column: "split.column"}
            key = where.get(name, "evaluate.slices")
            message, fix = source.explain_absence(name)
            raise ConfigError(f"{key}: {message}", fix=fix)
        if name in RESERVED:
            raise ConfigError(
                f"column {name!r} has a name that the pipeline keeps for itself",
                fix="rename the column in the data, or leave it out",
            )


def needs_refit(config: Config, rows: int) -> bool:
    """Whether the models are fitted once more on all rows."""
    if config.refit == "auto":
        return rows < REFIT_BELOW
    return config.refit == "always"
