"""Scoring of files, block by block: one output row per input row, in input order."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

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
from pipeline.ingest.column_names import find_column
from pipeline.ingest.contract import Contract
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import match_contract
from pipeline.ingest.sources.filesystems import upload_on_success
from pipeline.ingest.tables import read_table
from pipeline.predict import writer
from pipeline.predict.device_policy import choose_for_rows, fall_back_to_cpu, move_to_device
from pipeline.predict.result import PredictResult, select_news
from pipeline.predict.scorer import Scorer, read_config
from pipeline.predict.url_options import with_options
from pipeline.schema import Dtype

TYPES: Mapping[Dtype, ColumnType] = {
    "int64": "integer", "int32": "integer", "float64": "float", "float32": "float", "bool": "bool",
    "datetime": "datetime", "text": "text",
}  # fmt: skip
"""Types in which the columns of a side table are read."""

BLOCK_BYTES = 32 << 20
"""Bytes of CSV that are scored at a time; fewer of a target with more than `CLASSES` classes."""
CLASSES = 10


def predict_files(
    run: str | Path,
    data: Sequence[str],
    out: str | Path,
    *,
    model: str = "best",
    keep: Sequence[str] = (),
    tables: Sequence[str] = (),
    device: str = "auto",
    excel_safe: bool = False,
    storage_options: Sequence[str] = (),
) -> PredictResult:
    """Score new CSV or Parquet files with a finished run.

    Args:
        run: the run folder, or a model's file in it.
        data: files, folders, globs or URLs.
        out: a file or a URL, CSV or Parquet by its ending; it is complete or absent. ``-`` prints
            CSV on standard output.
        model: "best", or the name of one of the run's models.
        keep: input columns that are copied beside the predictions.
        tables: ``NAME=PATH`` of side tables that replace the run's own copies.
        device: "cpu", "gpu", or "auto": a GPU for more than `device_policy.FEW` rows.
        excel_safe: no cell of a CSV is a formula (`writer.defuse_formulas`).
        storage_options: ``KEY=VALUE`` for the URLs among the files. The run's own options are not
            used, because they decide where data and variables of the environment are sent.

    Raises:
        InputError: the run was altered, the files do not fit it, or a value is invalid.
        DeviceError: ``device="gpu"``, and the GPU cannot score; nothing is scored on the CPU.
    """
    started = time.perf_counter()
    out = os.path.expanduser(out)
    writer.check_output(out, excel_safe)
    scorer = Scorer.load(run, model)
    config, trained = _read_contract(scorer)
    config = with_options(config, [*data, out, *tables], storage_options)
    scorer = scorer.with_tables(_read_tables(tables, config, scorer))
    shared = {n: getattr(config.data, n) for n in ("csv", "sheet", "types", "storage_options")}
    source = validate(Source, {"path": tuple(data), **shared}, "DATA")
    contract = match_contract(trained, source, scorer.columns, keep)
    _check_apart(out, scorer.run, contract, tables)
    keep = [find_column(name, contract.schema.names) or name for name in keep]
    _check_keep(keep, contract, scorer)
    blocks = plan_blocks(contract, choose_block_bytes(len(scorer.model.target.classes)))
    groups: list[Sequence[Block]] = [part.blocks for part in group_blocks(blocks, SMALL_BLOCK)]
    if scorer.needs_all_rows or not blocks:
        # Rows that depend on each other need one frame, and no rows need one for its columns.
        groups = [blocks]
    scorer = move_to_device(scorer, choose_for_rows(device, sum(block.rows for block in blocks)))
    choice = scorer.choice

    def score(scorer: Scorer) -> Iterator[pa.Table]:
        return _score_groups(groups, partial(_score_blocks, scorer, contract, keep, config), choice)

    if out == writer.STDOUT:
        output: AbstractContextManager[str | Path] = writer.print_file()
    else:
        output = (
            upload_on_success(out, config.data.storage_options) if is_url(out) else nullcontext(out)
        )
    with output as path:
        try:
            rows, unscored = writer.write(score(scorer), Path(path), excel_safe)
        except Exception as error:
            # The CPU scores all rows once more, so that the file is of one device.
            choice = fall_back_to_cpu(choice, error)
            rows, unscored = writer.write(score(scorer.on(choice)), Path(path), excel_safe)
    return PredictResult(
        out,
        scorer.model.name,
        rows,
        unscored,
        tuple(contract.extra),
        choice,
        round(time.perf_counter() - started, 3),
        select_news(contract, trained),
    )


def choose_block_bytes(classes: int) -> int:
    """Return the bytes of CSV to score at a time, so that scores do not outgrow them by far."""
    # 200,000 rows of 300 classes, 20 MB of CSV: one block took 1,248 MB, blocks of 1.1 MB 469 MB
    return max(SMALL_BLOCK, BLOCK_BYTES // max(1, classes // CLASSES))


def _read_contract(scorer: Scorer) -> tuple[Config, Contract]:
    """Return the run's config and the contract of its data.

    Raises:
        InputError: the features read columns, or dtypes, that the contract does not have.
    """
    run = manifest.VerifiedRun(scorer.run, scorer.manifest)
    path = scorer.run / "ingest" / "schema.json"
    with manifest.report_misfits(scorer.run):
        contract = Contract.from_json(manifest.parse_json(run.read(path), path), path)
    for name in scorer.columns:
        if name not in contract.schema:
            problem = f"there is no {name!r:.80}, which the features read"
            raise misfit_error(path, "columns", problem)
        if contract.schema[name].dtype != scorer.plan.source[name].dtype:
            problem = f"{name!r:.80} has another type than the features read"
            raise misfit_error(path, "columns", problem)
    return read_config(run), contract


def _check_apart(out: str, run: Path, contract: Contract, tables: Sequence[str]) -> None:
    """Refuse an output that would replace an input or a file of the run."""
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


def _check_keep(keep: Sequence[str], contract: Contract, scorer: Scorer) -> None:
    """Refuse columns to copy that the new data lack, or that the predictions have themselves."""
    predicted = {"prediction", *(f"p_{c}" for c in scorer.model.target.classes)}
    for name in keep:
        if name in predicted:
            raise ConfigError(
                f"--keep {name}: the predictions have a column of that name",
                fix="rename the column in the new data",
            )
        if name not in contract.schema:
            raise ConfigError(
                f"--keep {name}: the new data have no column {name!r}",
                fix=suggest_or_list(name, contract.schema.names),
            )


def _read_tables(tables: Sequence[str], config: Config, scorer: Scorer) -> dict[str, pd.DataFrame]:
    """Read side tables given as NAME=PATH, in the way that the run's config describes."""
    frames = {}
    for given in tables:
        name, eq, path = given.partition("=")
        if not eq:
            raise ConfigError(f"--table {given!r} is not NAME=PATH")
        if name not in config.data.tables:
            fix = suggest_or_list(name, config.data.tables)
            raise ConfigError(f"--table {name}: the run has no such side table", fix=fix)
        described: Table = config.data.tables[name]
        joins = [s.op for s in scorer.plan.steps if isinstance(s.op, Join) and s.op.table == name]
        dtypes = {n: d for join in joins for n, d in (join.types or {}).items()}
        types: dict[str, str] = {n: TYPES[d] for n, d in dtypes.items()}
        types |= described.types
        table = described.model_copy(update={"path": (path,), "types": types})
        _, frame, _ = read_table(name, table, sorted(dtypes))
        frame.attrs["keys"] = tuple(described.keys)
        frames[name] = frame
    return frames


def _score_groups(
    groups: Sequence[Sequence[Block]],
    score: Callable[[Sequence[Block]], pa.Table],
    choice: DeviceChoice,
) -> Iterator[pa.Table]:
    """Yield the scores of each group, in order; threads work ahead while one is written."""
    from dask.system import CPU_COUNT

    # Threads would only compete for a GPU.
    threads = CPU_COUNT if choice.name == "cpu" else 1
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[pa.Table]] = deque()
    try:
        for group in groups:
            waiting.append(pool.submit(score, group))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _score_blocks(
    scorer: Scorer, contract: Contract, keep: Sequence[str], config: Config, blocks: Sequence[Block]
) -> pa.Table:
    """Return the output rows of some blocks: every record of the input has one."""
    device = frames_of(scorer.choice.name)
    needed = set(scorer.columns)
    wanted = needed.union(keep)
    names = [n for n in contract.schema.names if n in wanted]
    read = [read_block(b, contract, names, device, config.data.on_bad_rows) for b in blocks]
    empty = device.empty_frame([*contract.schema.select(names)])
    frame = device.concat([r[0] for r in read]) if read else empty
    ids = device.to_host(device.row_ids(frame))
    # Copied columns, such as a target, must not change the predictions.
    scores = scorer.predict_storage(frame[[n for n in names if n in needed]])
    rejected = [r[1]["row"].to_numpy("int64") for r in read if r[1] is not None]
    records = np.sort(np.concatenate([ids, *rejected]))
    # Position of each record in the frame; rejected ones have none, and get nulls.
    at = pd.Index(ids).get_indexer(pd.Index(records))
    positions = pa.array(at, mask=at < 0)
    copied = device.to_host(frame[list(dict.fromkeys(keep))])
    columns = {}
    for name in keep:
        values = pa.array(copied[name], from_pandas=True)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        columns[name] = values.take(positions)
    for name in scores.columns:
        values = pa.array(scores[name], type=_arrow_type(name, scorer), from_pandas=True)
        columns[name] = values.take(positions)
    return pa.table(columns)


def _arrow_type(name: str, scorer: Scorer) -> pa.DataType:
    """Return the type of an output column: of a prediction, that of the classes."""
    classes = scorer.model.target.classes
    if name != "prediction" or not classes:
        return pa.float64()
    kinds = {type(c) for c in classes}
    by_kind = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    return by_kind.get(kinds.pop(), pa.string()) if len(kinds) == 1 else pa.string()
