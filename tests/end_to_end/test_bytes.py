"""What passes between host and device in a run: files in, tables once, scores out, and little else."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import counting
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import Config, run
from pipeline.features.engine import fit
from pipeline.ingest import partitions
from pipeline.ingest.blocks import group_blocks, plan_blocks

ROOT = Path(__file__).parents[2]
ROWS, PARTS = 12_000, 2
MOVED = {
    # what needs to pass; whatever else moves less than a byte a row
    ("h2d", "device/table_cache.py"): "fitted tables, once",
    ("h2d", "ingest/gpu_read_block.py"): "the files",
    ("d2h", "train/feed.py"): "ids, labels and scores of the rows that are judged",
    ("d2h", "ingest/labels/split.py"): "distinct times of the sample",
    ("d2h", "features/stats/moments.py"): "distinct values of the sample",
    ("d2h", "features/stats/target_means.py"): "counts by key, of each partition",
    ("d2h", "features/ops/target_encode.py"): "the keys",
}
QUICK = ["models.xgboost.rounds=3", "models.forest.trees=2", "models.forest.max_depth=3",
         "refit=never", "cluster.dashboard=false"]  # fmt: skip


@pytest.fixture(scope="module")
def some_flights(tmp_path_factory):
    """Flights of the whole year, in several row groups."""
    flights = pq.read_table(ROOT / "data" / "flights" / "flights.parquet")
    chosen = flights.take(np.arange(0, len(flights), len(flights) // ROWS)[:ROWS])
    path = tmp_path_factory.mktemp("flights") / "flights.parquet"
    pq.write_table(chosen, path, row_group_size=-(-ROWS // PARTS))
    return path


def finished(flights, folder, device):
    """The run folder, and its ledger."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        # a partition a row group, however small
        patch.setattr(
            partitions,
            "plan_partitions",
            lambda c, rows, threads, size: group_blocks(plan_blocks(c, 1, rows), 1),
        )
        config = Config.load(
            "conf/flights.yaml", [*QUICK, f"data.path={flights}", f"device={device}"]
        )
        run(config, out=folder)
    lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    return [line for line in lines if "stage" in line]


def size_of(table):
    """Bytes of a table's columns, as text and numbers."""
    return sum(
        column.nbytes if column.dtype.kind in "iufbM" else counting.text_bytes(column.dropna())
        for column in (table[name] for name in table.columns)
    )


def sizes(folder):
    """(bytes of the scored rows, of the tables that were learnt, of the side tables)."""
    scored = pq.read_table(folder / "evaluate" / "predictions.parquet")
    learnt = joined = 0
    for step in fit.load(folder / "features").steps:
        state = step.state
        tables = [*state.get("tables", []), *([state["table"]] if "table" in state else [])]
        found = sum(size_of(table) for table in tables)
        joined, learnt = (
            (joined + found, learnt) if step.op.name == "join" else (joined, learnt + found)
        )
    return len(scored) * (8 + 1 + 4 + 8), learnt, joined  # ids, labels, XGBoost's and the forest's


def test_a_run_moves_the_files_in_the_tables_once_and_the_scores_out(
    some_flights, tmp_path, monkeypatch
):
    device = counting.installed(monkeypatch)
    try:
        ledger = finished(some_flights, tmp_path / "run", "cpu")
    finally:
        monkeypatch.undo()
        counting.frames_of.cache_clear()
    bounded(ledger, tmp_path / "run", some_flights, device.most())
    by_file = Counter()
    for (way, _, place), size in device.by.items():
        by_file[way, place.split(":")[0]] += size
    much = {where for where, size in by_file.items() if size >= ROWS}
    assert much == set(MOVED), device.most(40)
    assert f"read by cuDF: {PARTS} blocks" in ledger[0]["notes"]


def bounded(ledger, folder, flights, told=""):
    """The bound of the issue; to the host, side tables aside: they come from there."""
    total = {way: sum(entry[way] for entry in ledger) for way in ("h2d", "h2d_files", "d2h")}
    scores, learnt, joined = sizes(folder)
    assert 0 < total["h2d_files"] <= flights.stat().st_size
    both = total["h2d"] - total["h2d_files"] + total["d2h"]
    assert both < 2 * (scores + learnt + joined), told
    assert total["d2h"] < 2 * (scores + learnt), told
    by_stage = {entry["stage"]: entry for entry in ledger}
    assert by_stage["evaluate"]["d2h"] <= scores, told
    assert (
        sum(by_stage[f"train {m}"][way] for m in ("forest", "xgboost") for way in ("h2d", "d2h"))
        < 10_000
    )


@pytest.mark.gpu
def test_a_run_on_a_gpu_moves_no_more(some_flights, tmp_path):
    bounded(finished(some_flights, tmp_path / "run", "gpu"), tmp_path / "run", some_flights)
