"""The steps of the proof, the most informative first, each under ten minutes on a GPU."""

from __future__ import annotations

import json
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import generate
from benchmarks.__main__ import ENVIRONMENT, HERE, PEERS
from benchmarks.gpu_proof import wide
from pipeline.bench import measurements, process_meter
from pipeline.bench.measurements import Measurement

ROOT = Path(__file__).parents[2]
MANY, MOST, FLIGHTS = 10_000_000, 100_000_000, 10_000_000
"""Rows of the wide table, and of the peers' flights."""
TURNS = 3
MEMORY_SHARES = (0.5, 0.25, 0.12, 0.06)
"""Shares of the wide table's GPU memory; ``memory.gpu`` is set to each in turn."""
FOLDERS = ("contract", "features", "ingest")
"""Test folders with a step each; the step ``others`` runs the rest."""
DIFFERS = 4
"""Exit status of `parity` if anything differs."""
SHOWN = 20  # failing tests to name

Json = dict[str, Any]


class NotApplicable(Exception):
    """A step that cannot run on this machine; the message says what is missing."""


@dataclass(frozen=True)
class Proof:
    """Settings of the proof and results of earlier steps."""

    devices: tuple[str, ...]
    scale: float
    """Factor of all numbers of rows: 1 for the proof, small for a trial."""
    work: Path
    """Folder of data, run folders and logs."""
    results: Json
    """Results of the finished steps, by name."""

    @property
    def lead(self) -> str:
        """Return the device under test: the GPU, or the first device in a trial."""
        return "gpu" if "gpu" in self.devices else self.devices[0]

    def rows(self, full: int) -> int:
        """Scale a number of rows."""
        return max(1_000, round(full * self.scale))


@dataclass(frozen=True)
class Step:
    """One step of the proof."""

    name: str
    seconds: int
    """Time limit; a step that exceeds it is stopped and fails."""
    run: Callable[[Proof, int], Json]
    """Receives the proof and the seconds; returns the result to store."""


def plan_steps(devices: Sequence[str]) -> list[Step]:
    """Return all steps for the devices, in order."""
    lead = "gpu" if "gpu" in devices else devices[0]
    others = [d for d in devices if d != lead]
    turns = [(device, turn) for turn in range(TURNS) for device in (lead, *others)]
    wides = [Step(f"wide {MANY:.0e} {d} {t}", 540, wide_run(MANY, d, t)) for d, t in turns]
    peers = ["ours", "cudf", "cudf.pandas"] if lead == "gpu" else ["ours", "pandas"]
    contests = [Step(f"peer {w} {t}", 400, peer(w, t)) for t in range(TURNS) for w in peers]
    return [
        Step("doctor", 120, doctor),
        Step("flights", 240, flights),
        Step("tests contract", 540, gpu_tests("contract")),
        Step("parity", 400, parity),
        Step(f"table {MANY:.0e}", 300, table(MANY)),
        # One turn of each comes first, so that an interrupted proof has a result for everything.
        *wides[: len(devices)],
        Step(f"table {MOST:.0e}", 540, table(MOST)),
        Step(f"wide {MOST:.0e} {lead} 0", 540, wide_run(MOST, lead, 0)),
        Step("table flights", 200, flights_table),
        *contests[: len(peers)],
        *(Step(f"memory {share:g}", 400, reduced_memory_run(share)) for share in MEMORY_SHARES),
        *wides[len(devices) :],
        *contests[len(peers) :],
        *(Step(f"tests {name}", 540, gpu_tests(name)) for name in (*FOLDERS[1:], "others")),
        *(Step(f"bench {n:.0e}", 540, bench(n)) for n in (100_000, 1_000_000)),
    ]


# -- the machine and its results ------------------------------------------------------------------


def doctor(proof: Proof, seconds: int) -> Json:
    """Run `doctor`."""
    return {"found": _run_json(proof, ["doctor", "--json"], seconds)}


def flights(proof: Proof, seconds: int) -> Json:
    """Run the README's example on the device."""
    out = _remove_old(proof, "flights")
    summary = _run_json(
        proof, ["run", "--device", proof.lead, "--out", str(out), *_flights_options(proof)], seconds
    )
    return {
        "metrics": summary["metrics"],
        "seconds": summary["seconds"],
        "stages": _read_ledger(out),
    }


def gpu_tests(folder: str) -> Callable[[Proof, int], Json]:
    """Return a step that runs ``pytest -m gpu`` on a test folder, or on the ``others``."""
    which = [f"tests/{folder}"]
    if folder == "others":
        which = ["tests", *(f"--ignore=tests/{name}" for name in FOLDERS)]

    def run(proof: Proof, seconds: int) -> Json:
        if "gpu" not in proof.devices:
            raise NotApplicable("needs a GPU")
        report = proof.work / "tests.xml"
        report.unlink(missing_ok=True)
        python = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *which]
        try:
            _run(proof, [*python, f"--junitxml={report}"], seconds)
        except process_meter.CommandFailedError as error:
            if not report.exists():
                raise
            if error.status == 5:  # pytest: nothing was collected
                return {"collected": 0, "passed": 0, "failed": []}
        return count_tests(report)

    return run


def count_tests(report: Path) -> Json:
    """Count the tests of a JUnit report; name the failed ones with their reasons."""
    cases = list(ET.parse(report).getroot().iter("testcase"))
    bad = [(case, child) for case in cases for child in case if child.tag in ("failure", "error")]
    failed = [
        f"{case.get('classname')}::{case.get('name')}: {(child.get('message') or '')[:200]}"
        for case, child in bad
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    wrong = len({id(case) for case, _ in bad})
    return {
        "collected": len(cases), "passed": len(cases) - wrong - skipped, "skipped": skipped,
        "failures": wrong, "failed": failed[:SHOWN],
    }  # fmt: skip


def parity(proof: Proof, seconds: int) -> Json:
    """Run `parity`: both devices on the same rows."""
    if len(proof.devices) < 2:
        raise NotApplicable("needs both devices")
    command = ["parity", "conf/flights.yaml", "--rows", str(proof.rows(200_000)), "--json"]
    out = ["--out", str(proof.work / "parity.json")]
    try:
        return {"compared": _run_json(proof, [*command, *out], seconds), "differs": False}
    except process_meter.CommandFailedError as error:
        if error.status != DIFFERS:
            raise
        return {"compared": json.loads(error.output), "differs": True}


# -- the wide table --------------------------------------------------------------------------------


def table(rows: int) -> Callable[[Proof, int], Json]:
    """Return a step that writes the wide table."""

    def run(proof: Proof, seconds: int) -> Json:
        asked = proof.rows(rows)
        module = [sys.executable, "-m", "benchmarks.gpu_proof.wide"]
        command = [
            *module,
            str(_table_path(proof, rows)),
            str(asked),
            str(process_meter.count_cores()),
        ]
        done = _run(proof, command, seconds)
        return {"rows": asked, "bytes": int(done.output), "seconds": round(done.seconds, 1)}

    return run


def wide_run(rows: int, device: str, turn: int) -> Callable[[Proof, int], Json]:
    """Return a step that measures a run on the wide table."""

    def run(proof: Proof, seconds: int) -> Json:
        return _run_wide(proof, rows, Measurement(proof.rows(rows), device, turn), seconds)

    return run


def reduced_memory_run(share: float) -> Callable[[Proof, int], Json]:
    """Return a step that runs the wide table with a share of the GPU memory that it needs."""

    def run(proof: Proof, seconds: int) -> Json:
        name = f"wide {MANY:.0e} gpu 0"
        if "gpu" not in proof.devices or not proof.results.get(name, {}).get("cell"):
            raise NotApplicable("needs a GPU, and a run with all of its memory before")
        limit = int(proof.results[name]["cell"]["peak_device"] * share)
        cell = Measurement(proof.rows(MANY), "gpu", 0)
        result = _run_wide(proof, MANY, cell, seconds, memory={"gpu": limit})
        return {**result, "memory.gpu": limit}

    return run


def _run_wide(proof: Proof, rows: int, cell: Measurement, seconds: int, **more: Any) -> Json:
    data = _table_path(proof, rows)
    path = proof.work / "wide.yaml"
    path.write_text(yaml.safe_dump(wide.make_config(data) | more))
    done = measurements.measure(cell, path, data, proof.work, seed=0, limit=seconds)
    if done.failed is not None:
        raise RuntimeError(done.failed)
    return {"cell": asdict(done)}


def _table_path(proof: Proof, rows: int) -> Path:
    return proof.work / f"wide-{proof.rows(rows)}"


# -- the peers ------------------------------------------------------------------------------------


def flights_table(proof: Proof, seconds: int) -> Json:
    """Generate the flights-like rows for the pipeline and the peers."""
    rows, path = proof.rows(FLIGHTS), _flights_path(proof)
    command = ["-m", "benchmarks.generate", "--rows", str(rows), "--out", str(path), "--quiet"]
    done = _run(proof, [sys.executable, *command], seconds)
    return {"rows": rows, "bytes": path.stat().st_size, "seconds": round(done.seconds, 1)}


def peer(who: str, turn: int) -> Callable[[Proof, int], Json]:
    """Return a step that runs the pipeline or a peer: the same rows, features and model."""

    def run(proof: Proof, seconds: int) -> Json:
        out = _remove_old(proof, "peer")
        done = _run(proof, build_peer_command(who, proof, out, turn), seconds)
        usage = {"seconds": round(done.seconds, 2), "peak_host": done.peak_bytes}
        if who == "ours":
            auc = json.loads(done.output)["metrics"]["models"]["xgboost"]["test"]["roc_auc"]
            return {**usage, "auc": auc, "stages": _read_ledger(out)}
        job = json.loads((out / "job.json").read_text())
        return {**usage, "auc": job["auc"], "stages": job["stages"]}

    return run


def build_peer_command(who: str, proof: Proof, out: Path, turn: int) -> list[str]:
    """Return the command line of the pipeline or a peer."""
    data = str(_flights_path(proof))
    if who == "ours":
        options = ["--device", proof.lead, "--no-dashboard", "--json", "-q"]
        arguments = [
            "run",
            str(HERE / "flights.yaml"),
            "--data",
            data,
            "--out",
            str(out),
            "--set",
            f"seed={turn}",
        ]
        return [sys.executable, "-m", "pipeline", *arguments, *options]
    given = [data, "--out", str(out), "--seed", str(turn)]
    if who == "cudf.pandas":  # the pandas script as it is, except for XGBoost's device
        script = str(ROOT / "benchmarks" / "peers" / "pandas_xgboost.py")
        accelerated = ["-m", "cudf.pandas", "-m", "cuml.accel", script]
        return [sys.executable, *accelerated, *given, "--device", "cuda"]
    return [sys.executable, "-m", f"benchmarks.peers.{PEERS['flights'][who]}", *given]


def _flights_path(proof: Proof) -> Path:
    return proof.work / f"flights-{proof.rows(FLIGHTS)}.parquet"


def bench(rows: int) -> Callable[[Proof, int], Json]:
    """Return a step that runs `bench` on the flights: speed-up by stage."""

    def run(proof: Proof, seconds: int) -> Json:
        out = _remove_old(proof, "bench")
        command = ["bench", "--rows", str(proof.rows(rows)), "--repeat", "1", "--out", str(out)]
        result = _run_json(
            proof, [*command, "--devices", ",".join(proof.devices), "--json"], seconds
        )
        return {name: result[name] for name in ("summary", "speedup", "rates", "missing")}

    return run


# -- running ---------------------------------------------------------------------------------------


def _run(proof: Proof, command: list[str], seconds: int) -> process_meter.ProcessUsage:
    environment = {**ENVIRONMENT, **measurements.child_environment()}
    return process_meter.run_measured(
        command, log=proof.work / "log.txt", env=environment, limit=seconds
    )


def _run_json(proof: Proof, arguments: list[str], seconds: int) -> Any:
    done = _run(proof, [sys.executable, "-m", "pipeline", *arguments], seconds)
    return json.loads(done.output)


def _flights_options(proof: Proof) -> list[str]:
    """Return the options of the README's example, with fewer rows in a trial."""
    rows = [] if proof.scale == 1 else ["--rows", str(proof.rows(_real_rows()))]
    return [*rows, "--no-dashboard", "--json", "-q"]


def _real_rows() -> int:
    """Count the rows of the real flights."""
    return len(generate.source())


def _remove_old(proof: Proof, name: str) -> Path:
    shutil.rmtree(proof.work / name, ignore_errors=True)
    return proof.work / name


def _read_ledger(run: Path) -> list[Json]:
    lines = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    return [line for line in lines if "total_seconds" not in line]
