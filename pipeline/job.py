"""What a config means on this machine and these files, settled before any row is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from pipeline.cluster.client import fitting
from pipeline.cluster.estimate import WIDTH, Sizes, histogram_bytes, summary_bytes, text_bytes
from pipeline.cluster.memory import PLANNED, MemoryPlan, Rung, device_limit_of, plan
from pipeline.columns import RESERVED, Schema
from pipeline.config import Cluster, Config
from pipeline.device.choose import Choice, choose
from pipeline.errors import ConfigError, nearest
from pipeline.expression import Expression
from pipeline.features.op import Op
from pipeline.features.ops.filter import Filter
from pipeline.features.ops.join import Join
from pipeline.features.plan import model_columns, pruned, walk
from pipeline.features.registry import parse_ops
from pipeline.ingest import split
from pipeline.ingest.blocks import Block, Part
from pipeline.ingest.contract import Contract
from pipeline.ingest.files import File, find
from pipeline.ingest.sample import Sample, sample
from pipeline.ingest.schema import settle
from pipeline.ingest.tables import read_table
from pipeline.ingest.target import expression_of, of_target
from pipeline.train.forest import MATRIX_ROWS, nodes
from pipeline.train.model import ordered
from pipeline.train.params import ForestParams, ModelParams, XGBoostParams, parse_models

REFIT_BELOW = 500_000  # rows: `refit: auto`


@dataclass(frozen=True)
class Job:
    """A checked run: nothing in it can be wrong but the data's values."""

    config: Config
    choice: Choice
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
            "device": {"asked": own.asked, "chosen": own.name, "reason": own.reason},
            "cluster": {
                "asked": asked, "chosen": self.cluster.kind, "reason": self.moved or "the config's",
            },
        }  # fmt: skip

    def sizes(self, parts: Sequence[Part], threads: int) -> Sizes:
        """What the memory plan's estimates are made of; reads a sample."""
        rows = sum(part.rows for part in parts)
        split, found = self.config.split, self._sample([b for part in parts for b in part.blocks])
        most = max((part.rows for part in parts), default=0)

        def row(names: Sequence[str], packed: Mapping[str, float]) -> float:
            texts = [found.words[n] for n in names if n in found.words]
            others = [c for c in self.source.only(names) if c.name not in found.words]
            codes = [text_bytes(w.among(most), w.letters, most) for w in texts]
            return sum(packed.get(c.name, WIDTH[c.dtype]) for c in others) + sum(codes)

        texts = [found.words[n] for n in self.features if n in found.words]
        csv = self.contract.format == "csv"
        again = refitted(self.config, rows)
        learnt = int(most * (1 - split.valid - split.test))
        return Sizes(
            rows=rows, train=1 - split.valid - split.test, valid=split.valid,
            read_row=row(self.reads, {}), held_row=row(self.reads, found.packed),
            kept_row=row(self.kept, found.packed),
            staged_row=found.staged_row if csv else 0.0,
            block_rows=most, threads=min(threads, len(parts)), features=self.width,
            block_bytes=max((part.size for part in parts), default=0) if csv else 0,
            present=self._present(found.missing),
            words=sum(summary_bytes(w.among, w.letters, learnt, len(parts)) for w in texts),
            scores=found.scores,
            forest_rows=self._forest_rows(rows), forest_nodes=self._forest_nodes(rows),
            models=ordered(self.models), again=again,
            keep_frames=again or bool(self.config.evaluate.slices), device=self.choice.name,
            histograms=self._histograms(rows),
        )  # fmt: skip

    def memory_plan(
        self, parts: Sequence[Part], threads: int, free: int, shared: int | None = None, *,
        device: int | None = None, rung: Rung = PLANNED,
    ) -> MemoryPlan:  # fmt: skip
        """What these rows will hold in memory, and whether they are streamed.

        Args:
            threads: partitions that are worked on at a time.
            free: bytes of disk where CSV would be staged.
            shared: what workers may hold together, instead of ``memory.host``.
            device: what the GPUs may hold together.
            rung: what gives way in any case.

        Raises:
            MachineError: they cannot be trained on within it.
        """
        sizes = replace(self.sizes(parts, threads), device_memory=device or 0)
        return plan(self.config.memory, sizes, free=free, shared=shared, device=device, rung=rung)

    @property
    def device_limit(self) -> int | None:
        """Bytes that the run may hold on a GPU; None: it uses none."""
        return device_limit_of(self.config.memory, self.choice.gpus)

    def _sample(self, blocks: Sequence[Block]) -> Sample:
        data = self.config.data
        return sample(self.contract, blocks, self.reads, target=self.target, data=data)

    def _forest_rows(self, rows: int) -> int:
        forest = self.models.get("forest")
        return MATRIX_ROWS if getattr(forest, "max_samples", "auto") == "auto" else rows

    def _forest_nodes(self, rows: int) -> int:
        forest = self.models.get("forest")
        return nodes(forest, rows) if isinstance(forest, ForestParams) else 0

    def _histograms(self, rows: int) -> int:
        xgboost = self.models.get("xgboost")
        if not isinstance(xgboost, XGBoostParams):
            return 0
        own = xgboost.settled(rows)
        assert own.max_depth != "auto"
        return histogram_bytes(self.width, own.max_bin, own.max_depth, rows)

    def _present(self, missing: Mapping[str, float]) -> float:
        """The share of the matrix that is likely not to be missing."""
        names = {op.name for op in self.ops or ()}
        if "fill" in names or not self.features:
            return 1.0
        share = sum(missing.get(n, 0.0) for n in self.features) / len(self.features)
        return 1.0 - max(share, 0.01 if names & {"join", "lag"} else 0.0)

    @property
    def kept(self) -> tuple[str, ...]:
        """Columns that stay in the frames once labels, sets and weights are known."""
        filters = {n for f in self.filters for n in f.columns}
        wanted = {*self.features, *self.config.evaluate.slices, *filters}
        return tuple(n for n in self.reads if n in wanted)


def prepare(config: Config) -> Job:
    """Checks everything that files, config and machine tell before the work starts.

    Raises:
        ConfigError, SchemaError: something does not fit; the message names it.
        DeviceError: ``device: gpu`` and there is none.
    """
    choice = choose(config.device)
    models = parse_models(config.models)
    parsed = None if config.features is None else parse_ops(config.features)
    contract = settle(config.data)
    target = expression_of(config.data.target, contract.schema.names)
    with of_target():
        target.check(contract.schema)
    split.check(config.split, contract.schema)
    source = replace(contract.schema, target=frozenset(target.columns))
    filters: list[Expression] = []
    ops: tuple[Op, ...] | None = None
    tables: dict[str, pd.DataFrame] = {}
    files: dict[str, Sequence[File]] = {}
    if parsed is not None:
        filters = _filters(parsed, source)
        found = [op for op in parsed if not isinstance(op, Filter)]
        names = [op.table for op in found if isinstance(op, Join)]
        files = {n: find(config.data.tables[n]) for n in names if n in config.data.tables}
        ops, tables = _with_tables(found, config)  # after: a file that changes now is not known
    left_out = _left_out(config, source)
    features, width = _features(ops, source, left_out)
    reads = {*features, *target.columns, *(n for f in filters for n in f.columns)}
    reads |= set(left_out) | set(config.evaluate.slices)
    reads |= {config.split.column} if config.split.column is not None else set()
    _check_names(reads, source, config)
    cluster, moved = fitting(config.cluster, choice.name)
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
                    + ("" if later[0] in source else ": " + nearest(later[0], source.names)),
                )
            op.check(source)
            found.append(expression)
        elif not op.tables() and not op.dynamic():
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
                fix=nearest(op.table, config.data.tables) or "describe it under data.tables",
            )
        columns = list(op.columns) if op.columns is not None else None
        schema, frame = read_table(op.table, table, columns)
        filled.append(op.filled(table.keys, {c.name: c.dtype for c in schema}))
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
    walked = walk(ops, source)
    known = model_columns(walked, left_out) if walked.open_from is None else walked.final.columns
    needed = pruned(walked, source, left_out).needed
    return [n for n in source.names if n in needed], len(known)


def _check_names(reads: set[str], source: Schema, config: Config) -> None:
    for name in sorted(reads):
        if name not in source:
            where = {config.data.weight: "data.weight", config.split.column: "split.column"}
            key = where.get(name, "evaluate.slices")
            message, fix = source.absent(name)
            raise ConfigError(f"{key}: {message}", fix=fix)
        if name in RESERVED:
            raise ConfigError(
                f"column {name!r} has a name that the pipeline keeps for itself",
                fix="rename the column in the data, or leave it out",
            )


def refitted(config: Config, rows: int) -> bool:
    """Whether the models are fitted once more on all rows."""
    if config.refit == "auto":
        return rows < REFIT_BELOW
    return config.refit == "always"
