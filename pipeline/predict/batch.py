"""Scores files block by block: one output row per input row, in input order."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.artifacts import manifest
from pipeline.config.model import ColumnType, Config, Source, Table
from pipeline.config.stored import misfit_error
from pipeline.config.urls import is_url
from pipeline.config.validation import validate
from pipeline.device.choose import DeviceChoice, frames_of
from pipeline.errors import ConfigError, InputError, suggest_or_list
from pipeline.features.ops.join import Join
from pipeline.ingest.blocks import SMALL_BLOCK, Block, group_blocks, plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import match_contract
from pipeline.ingest.sources.filesystems import upload_on_success
from pipeline.ingest.tables import read_table
from pipeline.predict import writer
from pipeline.predict.device_policy import choose_for_rows, fall_back_to_cpu, move_to_device
from pipeline.predict.scorer import Scorer, read_config
from pipeline.predict.url_options import with_options
from pipeline.schema import Dtype

if TYPE_CHECKING:
    from pipeline.device import Frame

TYPES: Mapping[Dtype, ColumnType] = {
    "int64": "integer", "int32": "integer", "float64": "float", "float32": "float", "bool": "bool",
    "datetime": "datetime", "text": "text",
}  # fmt: skip
"""How a column of a side table is read again."""


@dataclass(frozen=True)
class PredictResult:
    """What `predict_files` did."""

    out: str
    model: str
    rows: int
    unscored: int
    """Rows whose prediction is null: dropped by a filter, or bad under quarantine."""
    extra: tuple[str, ...]
    device: DeviceChoice
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "out": self.out, "model": self.model, "rows": self.rows,
            "unscored": self.unscored, "ignored_columns": list(self.extra),
            "device": {
                "asked": self.device.requested, "chosen": self.device.name,
                "reason": self.device.reason,
            },
            "seconds": self.seconds,
        }  # fmt: skip

    def text(self) -> str:
        """For people."""
        where, took = f"on the {self.device.name}", f"in {self.seconds:.1f} s"
        out = "standard output" if self.out == writer.STDOUT else self.out
        lines = [
            f"{self.rows:,} rows scored by {self.model} {where} {took}: {out}",
            f"device {self.device.name}: {self.device.reason}",
        ]
        if self.unscored:
            lines.append(f"{self.unscored:,} rows have a null prediction (filtered or bad)")
        if self.extra:
            shown = ", ".join(self.extra[:8]) + (", …" if len(self.extra) > 8 else "")
            lines.append(f"columns that the run does not know were ignored: {shown}")
        return "\n".join(lines)


def predict_files(
    run: str | Path, data: Sequence[str], out: str | Path, *,
    model: str = "best", keep: Sequence[str] = (), tables: Sequence[str] = (),
    device: str = "auto", excel_safe: bool = False,
    storage_options: Sequence[str] = (),
) -> PredictResult:  # fmt: skip
    """Scores new CSV or Parquet files with a finished run.

    Args:
        data: files, folders, globs or URLs.
        out: a file or a URL, written as CSV or Parquet, by its ending; complete or not there. ``-``
            is CSV on standard output.
        keep: input columns copied beside the predictions.
        tables: ``NAME=PATH`` of side tables newer than the run's own copies.
        device: "cpu", "gpu", or "auto": the GPU for more than `place.FEW` rows, if there is one.
        excel_safe: no cell of a CSV is a formula (`output.defused`).
        storage_options: ``KEY=VALUE`` for the URLs among the files. Those of the run are not used,
            because they say where data, and variables of the environment, are sent.

    Raises:
        InputError: the run was altered, the files do not fit it, a value is bad.
        DeviceError: ``device="gpu"``, and it cannot; nothing is then scored on the CPU.
    """
    started = time.perf_counter()
    out = os.path.expanduser(out)
    writer.check_output(out, excel_safe)
    scorer = Scorer.load(run, model)
    config, wanted = _described(scorer)
    config = with_options(config, [*data, out, *tables], storage_options)
    scorer = scorer.with_tables(_newer(tables, config, scorer))
    shared = {n: getattr(config.data, n) for n in ("csv", "types", "storage_options")}
    source = validate(Source, {"path": tuple(data), **shared}, "DATA")
    contract = match_contract(wanted, source, scorer.columns, keep)
    _check_apart(out, scorer.run, contract, tables)
    _check_keep(keep, contract, scorer)
    blocks = plan_blocks(contract)
    groups: list[Sequence[Block]] = [part.blocks for part in group_blocks(blocks, SMALL_BLOCK)]
    if scorer.whole or not blocks:  # rows that depend on each other, or no rows: one frame of all
        groups = [blocks]
    scorer = move_to_device(scorer, choose_for_rows(device, sum(block.rows for block in blocks)))
    with _place(out, config) as path:
        rows, unscored, choice = _scored(
            scorer,
            lambda own: _tables(own, contract, groups, keep, config),
            Path(path),
            excel_safe,
        )
    seconds = round(time.perf_counter() - started, 3)
    name, extra = scorer.model.name, tuple(contract.extra)
    return PredictResult(out, name, rows, unscored, extra, choice, seconds)


def _place(out: str, config: Config) -> AbstractContextManager[str | Path]:
    """The local file to write to."""
    if out == writer.STDOUT:
        return writer.print_file()
    return upload_on_success(out, config.data.storage_options) if is_url(out) else nullcontext(out)


def _described(scorer: Scorer) -> tuple[Config, Contract]:
    """The run's config and the contract of its data."""
    seal = manifest.VerifiedRun(scorer.run, scorer.manifest)
    path = scorer.run / "ingest" / "schema.json"
    with manifest.report_misfits(scorer.run):
        contract = Contract.from_json(manifest.parse_json(seal.read(path), path), path)
    _check_columns(contract, scorer, path)
    return read_config(seal), contract


def _check_columns(contract: Contract, scorer: Scorer, path: Path) -> None:
    """Check that the plan reads the columns of the contract, in its dtypes.

    Raises:
        InputError: it does not; names the file and the column.
    """
    for name in scorer.columns:
        if name not in contract.schema:
            raise misfit_error(
                path, "columns", f"there is no {name!r:.80}, which the features read"
            )
        if contract.schema[name].dtype != scorer.plan.source[name].dtype:
            raise misfit_error(
                path, "columns", f"{name!r:.80} has another type than the features read"
            )


def _check_apart(out: str, run: Path, contract: Contract, tables: Sequence[str]) -> None:
    """Refuses an output that would replace what is read."""
    if is_url(out) or out == writer.STDOUT:
        return
    path = Path(out).resolve()
    if path.is_dir():
        raise InputError(f"--out {out!r} is a folder", fix="name a file in it")
    inputs = [*(f.path for f in contract.files), *(t.partition("=")[2] for t in tables)]
    if path in (Path(p).resolve() for p in inputs if not is_url(p)):
        raise InputError(
            f"--out {out!r} is a file that is read: it would be replaced", fix="another --out"
        )
    if path.is_relative_to(run.resolve()):
        raise InputError(
            f"--out {out!r} lies in the run folder, which holds what the run wrote",
            fix="another --out",
        )


def _scored(
    scorer: Scorer, tables: Callable[[Scorer], Iterator[pa.Table]], path: Path, excel_safe: bool
) -> tuple[int, int, DeviceChoice]:
    """Writes the file; rows, those without a prediction, and where they were scored.

    Under ``auto`` a GPU that cannot go on leaves all rows to the CPU: the file is of one device.
    """
    choice = scorer.choice
    try:
        rows, unscored = writer.write(tables(scorer), path, excel_safe)
    except Exception as error:
        choice = fall_back_to_cpu(choice, error)
        rows, unscored = writer.write(tables(scorer.on(choice)), path, excel_safe)
    return rows, unscored, choice


def _tables(
    scorer: Scorer, contract: Contract, groups: Sequence[Sequence[Block]], keep: Sequence[str],
    config: Config,
) -> Iterator[pa.Table]:  # fmt: skip
    """The groups' output rows, in order."""
    from dask.system import CPU_COUNT

    threads = CPU_COUNT if scorer.choice.name == "cpu" else 1
    return _ahead(groups, lambda group: _one(scorer, contract, group, keep, config), threads)


def _check_keep(keep: Sequence[str], contract: Contract, scorer: Scorer) -> None:
    own = {"prediction", *(f"p_{c}" for c in scorer.model.target.classes)}
    for name in keep:
        if name in own:
            raise ConfigError(
                f"--keep {name}: the predictions have a column of that name",
                fix="rename the column in the new data",
            )
        if name not in contract.schema:
            raise ConfigError(
                f"--keep {name}: the new data have no column {name!r}",
                fix=suggest_or_list(name, contract.schema.names),
            )


def _newer(tables: Sequence[str], config: Config, scorer: Scorer) -> dict[str, pd.DataFrame]:
    """Side tables given as NAME=PATH, read as the run's config says."""
    found = {}
    for given in tables:
        name, eq, path = given.partition("=")
        if not eq:
            raise ConfigError(f"--table {given!r} is not NAME=PATH")
        if name not in config.data.tables:
            fix = suggest_or_list(name, config.data.tables)
            raise ConfigError(f"--table {name}: the run has no such side table", fix=fix)
        known: Table = config.data.tables[name]
        joins = [s.op for s in scorer.plan.steps if isinstance(s.op, Join) and s.op.table == name]
        dtypes = {n: d for join in joins for n, d in (join.types or {}).items()}
        types = {n: TYPES[d] for n, d in dtypes.items()} | dict(known.types)
        table = known.model_copy(update={"path": (path,), "types": types})
        _, frame = read_table(name, table, sorted(dtypes))
        frame.attrs["keys"] = tuple(known.keys)
        found[name] = frame
    return found


def _ahead(
    groups: Sequence[Sequence[Block]], made: Callable[[Sequence[Block]], pa.Table], threads: int
) -> Iterator[pa.Table]:
    """``made`` of each group, in order; other threads make the next while one is written."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[pa.Table]] = deque()
    try:
        for group in groups:
            waiting.append(pool.submit(made, group))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _one(
    scorer: Scorer, contract: Contract, blocks: Sequence[Block], keep: Sequence[str], config: Config
) -> pa.Table:
    """The output rows of some blocks: every record of the input has one."""
    device = frames_of(scorer.choice.name)
    needed = set(scorer.columns)
    wanted = needed.union(keep)
    names = [n for n in contract.schema.names if n in wanted]
    read = [read_block(b, contract, names, device, config.data.on_bad_rows) for b in blocks]
    none = device.empty_frame([*contract.schema.select(names)])
    frame = device.concat([r[0] for r in read]) if read else none
    ids = device.to_host(device.row_ids(frame))
    # what is kept beside them (a target, say) must not change the predictions
    scores = scorer.predict_storage(frame[[n for n in names if n in needed]])
    rejected = [r[1]["row"].to_numpy("int64") for r in read if r[1] is not None]
    every = np.sort(np.concatenate([ids, *rejected]))
    at = pd.Index(ids).get_indexer(pd.Index(every))
    kept = device.to_host(frame[list(dict.fromkeys(keep))])
    columns = {n: _plain(kept[n]).take(pa.array(at, mask=at < 0)) for n in keep}
    for name in scores.columns:
        plain = pa.array(scores[name], type=_arrow_type(name, scorer), from_pandas=True)
        columns[name] = plain.take(pa.array(at, mask=at < 0))
    return pa.table(columns)


def _plain(column: Frame) -> pa.Array:
    found = pa.array(column, from_pandas=True)
    return found.dictionary_decode() if pa.types.is_dictionary(found.type) else found


def _arrow_type(name: str, scorer: Scorer) -> pa.DataType:
    classes = scorer.model.target.classes
    if name != "prediction" or not classes:
        return pa.float64()
    kinds = {type(c) for c in classes}
    by_kind = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    return by_kind.get(kinds.pop(), pa.string()) if len(kinds) == 1 else pa.string()
