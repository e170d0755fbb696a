"""The shared parts of all scripts: the job's numbers, the command line, and the clock."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

FOLDS, SMOOTH, MIN_COUNT, TEST = 5, 20, 50, 0.2
ENCODED, CATEGORIES = ["carrier", "dest", "tailnum"], ["origin", "manufacturer"]
WEATHER = ["temp", "humid", "wind_speed", "precip", "visib", "pressure"]
NUMBERS = ["sched_dep_time", "sched_arr_time", "flight", "distance", "hour", "minute"]
COLUMNS = [*NUMBERS, "carrier", "tailnum", "origin", "dest", "arr_delay", "time_hour"]
FEATURES = [
    "sched_dep_time", "sched_arr_time", "carrier", "flight", "tailnum", "origin", "dest",
    "distance", "hour", "minute", *WEATHER, "planes__year", "seats", "manufacturer",
    "minute_of_day", "time_hour__day_of_week", "time_hour__hour",
]  # fmt: skip
TYPES = ["c" if name in CATEGORIES else "q" for name in FEATURES]
FILLED = [name for name in FEATURES if name not in CATEGORIES]
LOCAL = "America/New_York"
ROUNDS = 50
PARAMS = {
    "objective": "binary:logistic", "max_depth": 8, "learning_rate": 0.1, "max_bin": 256,
    "min_child_weight": 1,
}  # fmt: skip
"""As in benchmarks/flights.yaml."""
CORES = len(os.sched_getaffinity(0))
SIDE = Path(__file__).parent.parent.parent / "data" / "flights"


def first_test_time(times: np.ndarray) -> np.datetime64:
    """Return the first time of the last fifth of the rows, at the nearest change of the time."""
    at = round(len(times) * (1 - TEST))
    cut = np.partition(times, at)[at]
    below, equal = (times < cut).sum(), (times == cut).sum()
    return cut if at - below <= below + equal - at else times[times > cut].min()


class Job:
    """Arguments, and the seconds of each stage since the process started."""

    def __init__(self, description: str) -> None:
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("data", type=Path, help="flights-like rows, .csv or .parquet")
        parser.add_argument("--out", type=Path, required=True, help="a folder")
        parser.add_argument("--seed", type=int, default=0, help="of the folds and the model")
        parser.add_argument("--device", default="cpu", help="of XGBoost: cpu or cuda")
        asked = parser.parse_args()
        self.data, self.out, self.seed = asked.data, asked.out, asked.seed
        self.params = PARAMS | {"seed": asked.seed, "device": asked.device}
        self.csv = asked.data.suffix == ".csv"
        self.out.mkdir(parents=True, exist_ok=True)
        started = time.time() - psutil.Process().create_time()
        self.stages = {"start": round(max(started, 0.0), 3)}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block."""
        started = time.perf_counter()
        yield
        self.stages[name] = round(time.perf_counter() - started, 3)

    def done(self, *, auc: float, train: int, test: int) -> None:
        """Write ``job.json``, which the benchmark reads, and print it."""
        result = {"stages": self.stages, "auc": float(auc), "rows": {"train": train, "test": test}}
        (self.out / "job.json").write_text(json.dumps(result))
        print(json.dumps(result))
