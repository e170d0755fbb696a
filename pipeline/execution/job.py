"""The job of a run: a config, checked against this machine and its files before any row is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from pipeline.cluster.client import adapt_to_device
from pipeline.config.cluster import Cluster
from pipeline.config.model import Config
from pipeline.device.choose import DeviceChoice, choose_device
from pipeline.errors import ConfigError, suggest_or_list
from pipeline.execution.exact_names import match_config
from pipeline.expression import Expression
from pipeline.features.engine.planner import prune_ops, resolve_ops, select_model_columns
from pipeline.features.op import Op
from pipeline.features.ops.filter import Filter
from pipeline.features.ops.join import Join
from pipeline.features.registry import parse_ops
from pipeline.ingest.contract import Contract
from pipeline.ingest.formats.convert import find_source_files
from pipeline.ingest.labels import split
from pipeline.ingest.labels.target import name_target_in_errors, parse_target
from pipeline.ingest.reading_note import ReadingNote, merge_notes
from pipeline.ingest.schema import infer_contract
from pipeline.ingest.sources.files import File
from pipeline.ingest.tables import read_table
from pipeline.memory.planner import device_limit
from pipeline.schema import RESERVED, Schema
from pipeline.train.model import parse_models
from pipeline.train.params import ModelParams

REFIT_BELOW = 500_000
"""Rows below which `refit: auto` refits."""


@dataclass(frozen=True)
class Job:
    """A run whose config, files and columns are checked; only the data's values may be wrong."""

    config: Config
    choice: DeviceChoice
    cluster: Cluster
    """The config's cluster, or the one that the device can use in its place."""
    cluster_reason: str
    """The reason why `cluster` is not the config's; empty if it is."""
    contract: Contract
    source: Schema
    """The data's columns, with those of the target marked."""
    target: Expression
    filters: tuple[Expression, ...]
    ops: tuple[Op, ...] | None
    """The feature ops; None: they are chosen from the data."""
    models: Mapping[str, ModelParams]
    tables: Mapping[str, pd.DataFrame]
    """Side tables that ops join: the used columns, with ``attrs["keys"]``."""
    table_files: Mapping[str, Sequence[File]]
    """Files of each side table."""
    left_out: Mapping[str, str]
    """Columns that are never features, with the reason."""
    features: tuple[str, ...]
    """Source columns that the ops read."""
    width: int
    """Number of columns of the models' matrix, as far as it is known before fitting."""
    reads: tuple[str, ...]
    """Columns that are read from the files."""

    @property
    def place(self) -> dict[str, dict[str, str]]:
        """Device and cluster for ``--json``: what was asked for, what is used, and why."""
        return {
            "device": {
                "asked": self.choice.requested,
                "chosen": self.choice.name,
                "reason": self.choice.reason,
            },
            "cluster": {
                "asked": self.config.cluster.kind,
                "chosen": self.cluster.kind,
                "reason": self.cluster_reason or "the config's",
            },
        }

    @property
    def device_limit(self) -> int | None:
        """Bytes that the run may use on each GPU; None: it uses none."""
        return device_limit(self.config.memory, self.choice.gpus)

    @cached_property
    def frame_columns(self) -> tuple[str, ...]:
        """Columns that stay in the frames once labels, sets and weights are known."""
        filters = {n for f in self.filters for n in f.columns}
        wanted = {*self.features, *self.config.evaluate.slices, *filters}
        return tuple(n for n in self.reads if n in wanted)


def prepare_job(config: Config) -> Job:
    """Check everything that can be checked before the first row is read.

    Raises:
        ConfigError, SchemaError: the config does not fit the files; the message names the key.
        DeviceError: ``device: gpu`` and there is no GPU.
    """
    choice = choose_device(config.device)
    parse_models(config.models)  # a wrong parameter is reported before files are opened
    parsed = None if config.features is None else parse_ops(config.features)
    contract = infer_contract(config.data)
    # Fingerprints come first: a file that changes while it is read counts as changed later.
    joined = [op.table for op in parsed or () if isinstance(op, Join)]
    files = {n: find_source_files(config.data.tables[n]) for n in joined if n in config.data.tables}
    exact = match_config(config, contract.schema)
    config = exact.config
    contract = replace(contract, notes=merge_notes(contract.notes, exact.notes))
    target = parse_target(config.data.target, contract.schema.names)
    with name_target_in_errors():
        target.check(contract.schema)
    split.check_split(config.split, contract.schema)
    source = replace(contract.schema, target=frozenset(target.columns))
    filters: list[Expression] = []
    ops: tuple[Op, ...] | None = None
    tables: dict[str, pd.DataFrame] = {}
    if config.features is not None:
        parsed = parse_ops(config.features)
        filters = _parse_filters(parsed, source)
        others = [op for op in parsed if not isinstance(op, Filter)]
        ops, tables, notes = _load_tables(others, config, exact.contracts)
        contract = replace(contract, notes=merge_notes(contract.notes, notes))
    left_out = _find_left_out(config, source)
    features, width = _find_features(ops, source, left_out)
    reads = {*features, *target.columns, *(n for f in filters for n in f.columns)}
    reads |= set(left_out) | set(config.evaluate.slices)
    reads |= {config.split.column} if config.split.column is not None else set()
    _check_names(reads, source, config)
    cluster, cluster_reason = adapt_to_device(config.cluster, choice.name)
    return Job(
        config=config,
        choice=choice,
        cluster=cluster,
        cluster_reason=cluster_reason,
        contract=contract,
        source=source,
        target=target,
        filters=tuple(filters),
        ops=ops,
        models=parse_models(config.models),
        tables=tables,
        table_files=files,
        left_out=left_out,
        features=tuple(features),
        width=width,
        reads=tuple(n for n in source.names if n in reads),
    )


def _find_left_out(config: Config, source: Schema) -> dict[str, str]:
    """Return the columns that are never features, with the reason."""
    left_out = {}
    weight = config.data.weight
    if weight is not None:
        if weight in source and source[weight].kind not in ("numeric", "bool"):
            raise ConfigError(
                f"data.weight: column {weight!r} is {source[weight].kind}, not numeric",
                fix="name a column of numbers >= 0",
            )
        left_out[weight] = "the rows' weights"
    if config.split.by == "column" and config.split.column is not None:
        left_out[config.split.column] = "the split"
    return left_out


def _parse_filters(ops: Sequence[Op], source: Schema) -> list[Expression]:
    """Return the filters' expressions, which run on the data as read, before the split."""
    filters, produced = [], set[str]()
    for position, op in enumerate(ops):
        if isinstance(op, Filter):
            expression = op.expression()
            later = [n for n in expression.columns if n not in source or n in produced]
            if later:
                problem = "is made by an op before it" if later[0] in produced else "does not exist"
                fix = "filters come before the split and see only the data's own columns, as read"
                if later[0] not in source:
                    fix += f": {suggest_or_list(later[0], source.names)}"
                raise ConfigError(f"features[{position}].filter: {later[0]!r} {problem}", fix=fix)
            op.check(source)
            filters.append(expression)
        elif not op.tables() and not op.is_dynamic():
            # An op that reads columns of earlier ops fails here; `resolve_ops` checks it later.
            with suppress(ConfigError):
                produced |= {c.name for c in op.produces(source)}
    return filters


def _load_tables(
    ops: Sequence[Op], config: Config, contracts: Mapping[str, Contract]
) -> tuple[tuple[Op, ...], dict[str, pd.DataFrame], list[ReadingNote]]:
    """Return the ops with keys and types of side tables filled in, those tables, and notes."""
    filled: list[Op] = []
    tables: dict[str, pd.DataFrame] = {}
    notes: list[ReadingNote] = []
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
        schema, frame, table_notes = read_table(op.table, table, columns, contracts[op.table])
        notes += table_notes
        filled.append(op.bind_table(table.keys, {c.name: c.dtype for c in schema}))
        if (before := tables.get(op.table)) is not None:
            # Two joins of one table may use different columns of it.
            new = [n for n in frame.columns if n not in before.columns]
            frame = before.assign(**{n: frame[n] for n in new})
        tables[op.table] = frame
        tables[op.table].attrs["keys"] = tuple(table.keys)
    return tuple(filled), tables, notes


def _find_features(
    ops: tuple[Op, ...] | None, source: Schema, left_out: Mapping[str, str]
) -> tuple[list[str], int]:
    """Check the ops as far as possible.

    Returns:
        The source columns that the ops need, and the number of columns of the models' matrix.
    """
    if ops is None:
        names = [n for n in source.names if n not in source.target and n not in left_out]
        return names, len(names)
    walked = resolve_ops(ops, source)
    columns = (
        select_model_columns(walked, left_out)
        if walked.unresolved_from is None
        else walked.final.columns
    )
    needed = prune_ops(walked, source, left_out).needed
    return [n for n in source.names if n in needed], len(columns)


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
    """Return whether the models are fitted once more on all rows."""
    if config.refit == "auto":
        return rows < REFIT_BELOW
    return config.refit == "always"
