"""A table of 30 columns and any number of rows, as Parquet files made by many processes at once.

18 float32, 8 integers, 3 texts and a label that depends on some of each. A complete
folder is reused. A number of rows gives the same values on every machine.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FILE, GROUP = 5_000_000, 1_000_000
"""Rows per file and per row group."""
FLOATS = 18
INTEGERS = {
    "i0": 2,
    "i1": 7,
    "i2": 24,
    "i3": 60,
    "i4": 366,
    "i5": 1_000,
    "i6": 10_000,
    "i7": 30_000,
}
TEXTS = {"t0": 8, "t1": 200, "t2": 5_000}
"""Distinct values by column."""
ROUNDS, DEPTH = 200, 8


def make_config(folder: Path) -> dict[str, Any]:
    """Return the config of the timed run: Parquet to a trained XGBoost and a scored test set."""
    return {
        "name": "wide",
        "data": {"path": str(folder), "target": "y"},
        "split": {"by": "random", "valid": 0, "test": 0.2},
        "features": [
            {"categorify": {"columns": ["t0", "t1"]}},
            {"target_encode": {"columns": ["t2"], "folds": 5, "smooth": 20}},
        ],
        "models": {
            "xgboost": {
                "rounds": ROUNDS, "early_stopping": 0, "max_depth": DEPTH, "learning_rate": 0.1,
                "subsample": 1, "colsample_bytree": 1,
            },
            "forest": None,
        },
        "refit": "never",
        "cluster": {"kind": "process", "dashboard": False},
    }  # fmt: skip


def write_table(folder: Path, rows: int, processes: int) -> int:
    """Write the missing files of the table; return its bytes.

    Args:
        folder: folder of the table; files of an interrupted call are reused.
        rows: rows of the table.
        processes: number of processes that write files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        (folder, number, min(FILE, rows - at)) for number, at in enumerate(range(0, rows, FILE))
    ]
    with ProcessPoolExecutor(min(processes, len(files)), get_context("spawn")) as pool:
        return sum(pool.map(_write_file, files))


def _write_file(which: tuple[Path, int, int]) -> int:
    folder, number, rows = which
    path = folder / f"{number:04d}-{rows}.parquet"
    if not path.exists():
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        first = make_row_group(number, 0, min(GROUP, rows))
        with pq.ParquetWriter(beside, first.schema, compression="snappy") as out:
            out.write_table(first)
            for group, at in enumerate(range(GROUP, rows, GROUP), start=1):
                out.write_table(make_row_group(number, group, min(GROUP, rows - at)))
        beside.replace(path)
    return path.stat().st_size


def make_row_group(number: int, group: int, rows: int) -> pa.Table:
    """Return the rows of a row group."""
    rng = np.random.default_rng([number, group])
    x = rng.standard_normal((FLOATS, rows), dtype="float32")
    whole = {name: rng.integers(0, count, rows, dtype="int32") for name, count in INTEGERS.items()}
    codes = {name: rng.integers(0, count, rows, dtype="int32") for name, count in TEXTS.items()}
    lean = x[0] + 0.6 * x[1] * x[2] + 0.5 * np.abs(x[3]) - 0.4 + 0.3 * (whole["i2"] % 5 - 2)
    lean += 0.4 * (codes["t1"] % 7 - 3) / 3 + 0.5 * (codes["t2"] % 11 - 5) / 5
    label = rng.random(rows, dtype="float32") < 1 / (1 + np.exp(-lean))
    columns = {f"x{i}": pa.array(values) for i, values in enumerate(x)}
    columns |= {name: pa.array(values) for name, values in whole.items()}
    columns |= {name: _words(name).take(pa.array(values)) for name, values in codes.items()}
    return pa.table(columns | {"y": pa.array(label.astype("int8"))})


def _words(name: str) -> pa.Array:
    return pa.array([f"{name}-{i}" for i in range(TEXTS[name])])


if __name__ == "__main__":
    print(write_table(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
