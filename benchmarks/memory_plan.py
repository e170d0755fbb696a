"""The planned and the measured peak memory, by shape of the data.

``python -m benchmarks.memory_plan``: each shape is written to a scratch folder, run by
``python -m pipeline run`` in its own process and deleted. The output compares the plan with the
ledger, stage by stage; the peak of the whole run is the high-water mark of the process. The data
are large enough to outweigh the imports. The constants of `pipeline/memory/planner.py` are fitted
to this output.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from dask.system import CPU_COUNT
from pyarrow import csv

from pipeline import Config
from pipeline.bench import process_meter
from pipeline.execution.job import prepare_job
from pipeline.execution.memory_inputs import collect_sizes
from pipeline.ingest import partitions
from pipeline.memory import planner
from pipeline.memory.estimate import Sizes
from pipeline.tools.plan import describe_plan

CHUNK = 100_000
"""Rows per generated table."""
GROUP = 500_000
"""Rows per Parquet row group."""
MODELS = {"xgboost": {"rounds": 10, "max_depth": 6}, "forest": {"trees": 10, "max_depth": 12}}
Columns = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """A generated table and the config of its run."""

    make: Callable[[np.random.Generator, int], Columns]
    rows: int
    format: str = "parquet"
    config: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ("xgboost", "forest")

    def tree(self, path: Path) -> dict[str, Any]:
        """Return the config of the run."""
        models = {name: MODELS[name] if name in self.models else None for name in MODELS}
        base = {"name": "shape", "data": {"path": str(path), "target": "y"}, "models": models}
        return {**base, "cluster": {"kind": "process", "dashboard": False}, **self.config}


def _floats(width: int, missing: float = 0.0) -> Callable[[np.random.Generator, int], Columns]:
    def make(rng: np.random.Generator, rows: int) -> Columns:
        x = rng.normal(size=(width, rows)).round(4)
        y = (x[0] + x[1] + rng.normal(size=rows) > 0).astype("int64")
        gone = rng.random((width, rows)) < missing if missing else np.zeros((width, 1), bool)
        numbers = {
            f"x{i}": pa.array(x[i], mask=np.broadcast_to(gone[i], rows)) for i in range(width)
        }
        return {"y": y, **numbers}

    return make


def _texts(
    width: int, count: int, letters: int, numbers: int
) -> Callable[[np.random.Generator, int], Columns]:
    @cache
    def words(column: int) -> pa.Array:
        return pa.array([f"{column}_{i:0{letters - 2}d}" for i in range(count)])

    def make(rng: np.random.Generator, rows: int) -> Columns:
        codes = rng.integers(0, count, size=(width, rows))
        x = rng.normal(size=(numbers, rows)).round(4)
        y = ((codes[0] % 3 == 0) + rng.normal(size=rows) > 0.5).astype("int64")
        texts = {f"t{i}": words(i).take(pa.array(codes[i])) for i in range(width)}
        return {"y": y, **texts, **{f"x{i}": x[i] for i in range(numbers)}}

    return make


def _encoded(width: int, op: str, **parameters: Any) -> dict[str, Any]:
    columns = [f"t{i}" for i in range(width)]
    return {"features": [{op: {"columns": columns, **parameters}}]}


FULL: Mapping[str, Shape] = {
    "tall": Shape(_floats(8), 5_000_000),
    "tall, streamed": Shape(_floats(8), 5_000_000, config={"memory": {"host": "700MB"}}),
    "tall, sampled": Shape(_floats(8), 8_000_000, config={"memory": {"host": "700MB"}}),
    "wide": Shape(_floats(400), 150_000),
    "wide CSV": Shape(_floats(200), 300_000, "csv", models=("xgboost",)),
    "long strings CSV": Shape(_texts(3, 300_000, 60, 4), 1_500_000, "csv"),
    "few categories": Shape(_texts(10, 6, 5, 2), 4_000_000, config=_encoded(10, "categorify")),
    "many categories": Shape(
        _texts(4, 400_000, 12, 2), 2_500_000, config=_encoded(4, "target_encode")
    ),
    "missing CSV": Shape(_floats(16, 0.3), 2_000_000, "csv"),
    "missing CSV, streamed": Shape(
        _floats(16, 0.3), 2_500_000, "csv", {"memory": {"host": "600MB"}}, ("xgboost",)
    ),
}


def write_shape(shape: Shape, folder: Path, seed: int = 0) -> Path:
    """Write the table of a shape to a file in the folder."""
    path = folder / f"data.{shape.format}"
    tables = _tables(shape, np.random.default_rng(seed))
    first = next(tables)
    if shape.format == "csv":
        with csv.CSVWriter(path, first.schema) as out:
            out.write(first)
            for table in tables:
                out.write(table)
    else:
        with pq.ParquetWriter(path, first.schema) as out:
            for group in _grouped(first, tables):
                out.write_table(group)
    return path


def _tables(shape: Shape, rng: np.random.Generator) -> Iterator[pa.Table]:
    for done in range(0, shape.rows, CHUNK):
        yield pa.table(shape.make(rng, min(CHUNK, shape.rows - done)))


def _grouped(first: pa.Table, rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    waiting = [first]
    for table in rest:
        if len(waiting) * CHUNK >= GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
        waiting.append(table)
    yield pa.concat_tables(waiting)


def run(name: str, shape: Shape, scratch: Path | None = None) -> dict[str, Any]:
    """Generate the data, run the pipeline on them, and return planned and measured bytes."""
    folder = Path(tempfile.mkdtemp(prefix="memory-plan-", dir=scratch))
    try:
        path = write_shape(shape, folder)
        config = folder / "run.yaml"
        config.write_text(yaml.safe_dump(shape.tree(path)))
        command = [sys.executable, "-m", "pipeline", "run", str(config), "--json", "-q"]
        done = process_meter.run_measured(
            [*command, "--out", str(folder / "run")], log=folder / "log"
        )
        lines = (folder / "run" / "ledger.jsonl").read_text().splitlines()
        stages = [entry for line in lines if "stage" in (entry := json.loads(line))]
        planned = max(e["planned_host"] for e in stages)
        described = describe_plan(Config.load(config))
        return {
            "shape": name, "rows": shape.rows, "bytes": path.stat().st_size,
            "planned": planned, "measured": done.peak_bytes,
            "ratio": round(planned / done.peak_bytes, 3), "cpu_seconds": round(done.cpu_seconds, 1),
            "sizes": asdict(sizes(config)), "plan": described["memory"]["stages"],
            "stages": [
                {k: e[k] for k in ("stage", "planned_host", "peak_host", "notes")} for e in stages
            ],
        }  # fmt: skip
    finally:
        shutil.rmtree(folder)


def sizes(config: Path) -> Sizes:
    """Return the sizes from which the plan is computed."""
    job = prepare_job(Config.load(config))
    parts = partitions.plan_partitions(
        job.contract,
        None,
        CPU_COUNT,
        planner.choose_block_bytes(planner.host_limit(job.config.memory)),
    )
    return collect_sizes(job, parts, CPU_COUNT)


def main() -> None:
    """Print one line per shape and stage; ``--json FILE`` stores them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", help="names, separated by semicolons; all if absent")
    parser.add_argument("--scratch", type=Path, help="folder for the data")
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args()
    names = asked.shapes.split(";") if asked.shapes else list(FULL)
    results = []
    for name in names:
        results.append(run(name, FULL[name], asked.scratch))
        print_shape(results[-1])
    if asked.json:
        asked.json.write_text(
            json.dumps({"machine": process_meter.describe_machine(), "shapes": results}, indent=1)
        )


def print_shape(result: Mapping[str, Any]) -> None:
    """Print the planned and measured MB of a shape and of its stages."""
    print(
        f"{result['shape']:<24} {result['rows']:>10,} rows, file {result['bytes'] / 1e6:,.0f} MB: "
        f"planned {result['planned'] / 1e6:,.0f}, measured {result['measured'] / 1e6:,.0f} MB, "
        f"ratio {result['ratio']}, {result['cpu_seconds']} cpu s",
        flush=True,
    )
    for stage in result["stages"]:
        print(
            f"    {stage['stage']:<16} {stage['planned_host'] / 1e6:>8,.0f} "
            f"{stage['peak_host'] / 1e6:>8,.0f} {'; '.join(stage['notes'])[:90]}"
        )
    print(flush=True)


if __name__ == "__main__":
    main()
