"""The latency of one row with a loaded run: ``python -m benchmarks.score_one_row RUN DATA``.

Prints the median and the 95th percentile in milliseconds over 200 single rows of DATA (Parquet),
for each model, after one warm-up call; and the seconds that loading the run took.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import Scorer
from pipeline.artifacts.files import read_json

CALLS = 200


def main(run: str, data: str) -> None:
    """Print the times for each model of the run."""
    rows = pd.read_parquet(data).head(CALLS)
    manifest = read_json(Path(run) / "manifest.json")
    for model in manifest["models"]:
        started = time.perf_counter()
        scorer = Scorer.load(run, model)
        loaded = time.perf_counter() - started
        scorer.predict(rows.iloc[[0]])
        taken = []
        for i in range(len(rows)):
            row = rows.iloc[[i]]
            started = time.perf_counter()
            scorer.predict(row)
            taken.append(1000 * (time.perf_counter() - started))
        median, high = np.percentile(taken, [50, 95])
        print(f"{model}: load {loaded:.2f} s, one row {median:.1f} ms (p95 {high:.1f} ms)")


if __name__ == "__main__":
    main(*sys.argv[1:])
