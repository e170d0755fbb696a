"""Seconds of XGBoost with rows as they come and sorted: ``python -m benchmarks.row_order``.

Complete flights (see ``--job dense``), XGBoost alone: bins, then rounds of boosting. Each size is
trained without categories in both orders, and with two categories in the order as they come.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.metrics import roc_auc_score

from benchmarks.__main__ import prepare_data
from benchmarks.peers import dense_job as d
from benchmarks.peers import job as j
from benchmarks.peers.pandas_dense import build_matrix
from pipeline.matrix import Matrix, concatenate_matrices
from pipeline.train.xgboost.row_order import SAMPLE_ROWS, fit_row_key, iter_ordered_blocks

TYPES = ["c" if name in d.CODED else "q" for name in d.FEATURES]


def main() -> None:
    """Measure each size, and print a line of a Markdown table for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.row_order", description=__doc__)
    parser.add_argument("--rows", default="5e5,1e6,2.4e6", help="training rows")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("data/cache/benchmarks"))
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    print("| rows | order | boosting, s | sorting, s | AUC |\n|---|---|---|---|---|")
    for text in asked.rows.split(","):
        measure_size(int(float(text)), asked)


def measure_size(rows: int, asked: argparse.Namespace) -> None:
    """Train on ``rows`` rows in each way, in turns, and score as many others as a quarter."""
    data = prepare_data(rows + rows // 4, "parquet", asked.work, complete=True)
    frame = pd.read_parquet(data, columns=d.COLUMNS).astype(dict.fromkeys(d.TEXT, "category"))
    label = (frame.pop("arr_delay") > 15).to_numpy("int8")
    train = np.arange(len(frame)) < rows
    x = build_matrix(frame, train, label, 0)
    as_read = Matrix(x[:rows], label[:rows] * 1.0, None, np.arange(rows))
    for _ in range(asked.repeat):
        started = time.perf_counter()
        ordered = sort_rows(as_read)
        sorting = time.perf_counter() - started
        ways = {
            "as they come": (as_read, None, 0.0),
            "sorted": (ordered, None, sorting),
            "as they come, two categories": (as_read, TYPES, 0.0),
            "sorted, two categories": (ordered, TYPES, sorting),
        }
        for way, (matrix, types, spent) in ways.items():
            seconds, auc = boost(matrix, types, asked.rounds, x[rows:], label[rows:])
            print(f"| {rows:,} | {way} | {seconds:.1f} | {spent:.1f} | {auc:.4f} |", flush=True)


def sort_rows(matrix: Matrix) -> Matrix:
    """Return the rows in the order in which a run gives them to XGBoost."""
    sample = np.random.default_rng(0).choice(len(matrix.x), SAMPLE_ROWS, replace=False)
    bins = xgb.QuantileDMatrix(matrix.x[sample], matrix.label[sample], max_bin=j.PARAMS["max_bin"])
    key = fit_row_key(bins, j.PARAMS)
    return concatenate_matrices(iter_ordered_blocks(lambda: iter([matrix]), key, {}), np)


def boost(
    matrix: Matrix, types: list[str] | None, rounds: int, x: np.ndarray, label: np.ndarray
) -> tuple[float, float]:
    """Return the seconds of boosting, without the bins, and the AUC of other rows."""
    bins = xgb.QuantileDMatrix(
        matrix.x, matrix.label, max_bin=j.PARAMS["max_bin"], feature_types=types,
        enable_categorical=True,
    )  # fmt: skip
    started = time.perf_counter()
    model = xgb.train(j.PARAMS, bins, rounds)
    seconds = time.perf_counter() - started
    return seconds, float(roc_auc_score(label, model.inplace_predict(x, validate_features=False)))


if __name__ == "__main__":
    main()
