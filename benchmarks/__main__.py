"""The comparison of the pipeline with scripts that users write: ``python -m benchmarks --help``.

Every measurement is a fresh process. Within a size and format the contestants alternate (ours,
peer, peer, ours, …), so that a machine whose speed drifts slows all of them. Ratios are ratios of
medians. All contestants get the same environment. Each turn has its own seed (for the folds of the
target encoding), the same for all: on the real flights two seeds differed by 0.0016 in AUC.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import generate
from pipeline.bench.process_meter import describe_machine, run_measured

HERE = Path(__file__).parent
REAL_ROWS = 336_776
OURS = "ours"
PEERS = {
    "flights": {
        "pandas": "pandas_xgboost", "polars": "polars_xgboost", "dask": "dask_xgboost",
        "skrub": "skrub_boosting", "cudf": "cudf_xgboost",
    },
    "dense": {"pandas": "pandas_dense"},
}  # fmt: skip
"""The scripts of each job, whose config for us is ``JOB.yaml``.

The rows of *dense* have no missing value, and no table is joined: it suits the scripts best.
"""
SAME_AUC = 0.003
# Without this, idle threads of XGBoost spin, which slows it on a shared machine.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class Cell:
    """Measurements of one contestant's run."""

    who: str
    rows: int
    format: str
    seconds: float
    cpu_seconds: float
    peak_mb: float
    stages: dict[str, float]
    auc: float


def main() -> int:
    """Run the command; return 1 if a score differs by more than SAME_AUC."""
    asked = _arguments()
    started, cells = datetime.now(UTC), []
    results = {"machine": describe_machine(), "arguments": sys.argv[1:], "environment": ENVIRONMENT}
    asked.work.mkdir(parents=True, exist_ok=True)
    asked.results.mkdir(parents=True, exist_ok=True)
    out = asked.results / f"{started:%Y%m%d-%H%M%S}.json"
    wrong = []
    for rows in asked.rows:
        for kind in asked.formats:
            turns = list(_turns(asked, rows, kind))
            cells += turns
            summary = summarize(turns)
            print(table(summary), flush=True)
            wrong += [line for line in summary if not line["same_scores"]]
            results |= {
                "load_after": describe_machine()["load_before"],
                "cells": [asdict(c) for c in cells],
            }
            results["summary"] = results.get("summary", []) + summary
            out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"results: {out}")
    for line in wrong:
        print(f"{line['who']}: AUC {line['auc']:.4f} differs from ours by more than {SAME_AUC}")
    return int(bool(wrong))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    sizes = f"such as {REAL_ROWS},1e6,1e7; {REAL_ROWS} are the real flights, others are generated"
    parser.add_argument("--job", choices=list(PEERS), default="flights", help="what is computed")
    parser.add_argument("--rows", type=_numbers, default=[REAL_ROWS, 1_000_000], help=sizes)
    parser.add_argument("--formats", type=_names("csv", "parquet"), default=["csv", "parquet"])
    parser.add_argument(
        "--peers", type=lambda text: text.split(","), help="such as pandas,polars, the default"
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="device of the pipeline: cpu, gpu or auto")
    parser.add_argument(
        "--work", type=Path, default=Path("data/cache/benchmarks"), help="data and models"
    )
    parser.add_argument(
        "--results", type=Path, default=HERE / "results", help="folder of the results"
    )
    asked = parser.parse_args()
    peers = PEERS[asked.job]
    asked.peers = asked.peers or [name for name in ("pandas", "polars") if name in peers]
    if wrong := [name for name in asked.peers if name not in peers]:
        parser.error(f"--peers: {wrong[0]!r} is not one of {', '.join(peers)} of job {asked.job}")
    return asked


def _numbers(text: str) -> list[int]:
    return [int(float(part)) for part in text.split(",")]


def _names(*allowed: str) -> Any:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if wrong := [name for name in names if name not in allowed]:
            raise argparse.ArgumentTypeError(f"{wrong[0]!r} is not one of {', '.join(allowed)}")
        return names

    return parse


# -- running ---------------------------------------------------------------------------------------


def _turns(asked: argparse.Namespace, rows: int, kind: str) -> Iterator[Cell]:
    data = prepare_data(rows, kind, asked.work, complete=asked.job == "dense")
    data.read_bytes()  # fills the page cache, for all contestants alike
    for turn in range(asked.repeat):
        for who in [OURS, *asked.peers][:: 1 if turn % 2 == 0 else -1]:
            cell = _cell(who, data, turn, rows=rows, kind=kind, asked=asked)
            print(
                f"{rows:,} {kind} {who}: {cell.seconds:.1f} s, {cell.peak_mb:,.0f} MB, "
                f"AUC {cell.auc:.4f}", file=sys.stderr, flush=True,
            )  # fmt: skip
            yield cell


def prepare_data(rows: int, kind: str, folder: Path, *, complete: bool = False) -> Path:
    """Return the file of a size and format; generate it if it is absent.

    Complete rows have no missing value, and are generated for any number of rows.
    """
    path = folder / f"{'complete' if complete else 'flights'}-{rows}.{kind}"
    if path.exists():
        return path
    if complete:
        import pyarrow.parquet

        origin = folder / "complete.parquet"
        real = pyarrow.parquet.read_table(generate.SOURCE)
        pyarrow.parquet.write_table(real.drop_null(), origin)
        for _ in generate.generate(path, rows, origin=origin):
            pass
    elif rows != REAL_ROWS:
        for _ in generate.generate(path, rows):
            pass
    elif kind == "parquet":
        shutil.copy(generate.SOURCE, path)
    else:
        import pyarrow.csv
        import pyarrow.parquet

        real = pyarrow.parquet.read_table(generate.SOURCE).to_pandas()
        real["time_hour"] = real["time_hour"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        real.astype(dict.fromkeys(real.select_dtypes("float").columns, "Int64")).to_csv(
            path, index=False
        )
    return path


def _cell(
    who: str, data: Path, seed: int, *, rows: int, kind: str, asked: argparse.Namespace
) -> Cell:
    out = asked.work / "out" / who
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    python = [sys.executable, "-m"]
    if who == OURS:
        options = ["--data", str(data), "--out", str(out), "--device", asked.device]
        command = [
            *python,
            "pipeline",
            "run",
            str(HERE / f"{asked.job}.yaml"),
            *options,
            "--no-dashboard",
            "--json",
        ]
        command += ["--set", f"seed={seed}"]
    else:
        command = [
            *python,
            f"benchmarks.peers.{PEERS[asked.job][who]}",
            str(data),
            "--out",
            str(out),
        ]
        command += ["--seed", str(seed)]
    done = run_measured(command, log=out.parent / f"{who}.log", env=ENVIRONMENT)
    stages, auc = _ours(out, done.output) if who == OURS else _theirs(out)
    return Cell(
        who, rows, kind, round(done.seconds, 3), round(done.cpu_seconds, 3),
        round(done.peak_bytes / 1e6, 1), stages, auc,
    )  # fmt: skip


def _ours(out: Path, output: str) -> tuple[dict[str, float], float]:
    lines = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    auc = json.loads(output)["metrics"]["models"]["xgboost"]["test"]["roc_auc"]
    return {line["stage"]: line["seconds"] for line in lines if "seconds" in line}, auc


def _theirs(out: Path) -> tuple[dict[str, float], float]:
    job = json.loads((out / "job.json").read_text())
    return job["stages"], job["auc"]


# -- results ---------------------------------------------------------------------------------------


def summarize(cells: list[Cell]) -> list[dict[str, Any]]:
    """Return one line per contestant: medians, and our median divided by theirs."""
    ours = [cell for cell in cells if cell.who == OURS]
    lines = []
    for who in dict.fromkeys(cell.who for cell in cells):
        runs = [cell for cell in cells if cell.who == who]
        line: dict[str, Any] = {
            "who": who, "rows": runs[0].rows, "format": runs[0].format, "runs": len(runs),
            "auc": _median(runs, "auc"),
            "stages": {
                name: statistics.median(cell.stages[name] for cell in runs)
                for name in runs[0].stages
            },
        }  # fmt: skip
        for figure in ("seconds", "cpu_seconds", "peak_mb"):
            line[figure] = _median(runs, figure)
            line[f"{figure}_range"] = [f(getattr(c, figure) for c in runs) for f in (min, max)]
            line[f"ours/this {figure}"] = round(_median(ours, figure) / line[figure], 3)
        difference = abs(line["auc"] - _median(ours, "auc"))
        line["same_scores"] = math.isfinite(difference) and difference <= SAME_AUC
        lines.append(line)
    return lines


def _median(cells: list[Cell], figure: str) -> float:
    return float(statistics.median(getattr(cell, figure) for cell in cells))


def table(summary: list[dict[str, Any]]) -> str:
    """Format the lines as a Markdown table."""
    first = summary[0]
    head = ["who", "s (min-max)", "cpu s", "peak MB", "AUC", "ours/this: s", "cpu", "MB", "stages"]
    rows = [head, ["---"] * len(head)]
    for line in summary:
        low, high = line["seconds_range"]
        stages = ", ".join(f"{name} {taken:.1f}" for name, taken in line["stages"].items())
        ratios = [f"{line[f'ours/this {f}']:.2f}" for f in ("seconds", "cpu_seconds", "peak_mb")]
        rows.append([
            line["who"], f"{line['seconds']:.1f} ({low:.1f}-{high:.1f})",
            f"{line['cpu_seconds']:.1f}", f"{line['peak_mb']:,.0f}", f"{line['auc']:.4f}",
            *ratios, stages,
        ])  # fmt: skip
    title = f"\n{first['rows']:,} rows, {first['format']}, {first['runs']} runs each\n\n"
    return title + "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    started = time.perf_counter()
    status = main()
    print(f"{time.perf_counter() - started:.0f} s in all")
    sys.exit(status)
