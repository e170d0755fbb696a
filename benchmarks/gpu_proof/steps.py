"""The steps of the proof, the most telling first; none takes ten minutes where a GPU works."""

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
from benchmarks.__main__ import CONFIG, ENVIRONMENT, PEERS
from benchmarks.gpu_proof import wide
from pipeline.bench import measurements, process_meter
from pipeline.bench.measurements import Measurement

ROOT = Path(__file__).parents[2]
MANY, MOST, FLIGHTS = 10_000_000, 100_000_000, 10_000_000
"""Rows of the wide table, and of the peers' flights."""
TURNS = 3
LADDER = (0.5, 0.25, 0.12, 0.06)
"""Shares of the memory that the wide table takes on the GPU, given to ``memory.gpu`` in turn."""
FOLDERS = ("contract", "features", "ingest")
"""Folders of tests that have a step of their own; ``others`` are all others."""
DIFFERS = 4
"""Exit status of `parity` where something differs."""
SHOWN = 20  # failing tests that are named

Json = dict[str, Any]


class NotHere(Exception):
    """A step for which this machine or this state of the project has nothing; says what."""


@dataclass(frozen=True)
class Proof:
    """What all steps know."""

    devices: tuple[str, ...]
    scale: float
    """Of the numbers of rows: 1 for the proof, small for trying it out."""
    work: Path
    """For data, run folders and logs."""
    results: Json
    """Of the steps that are done, by name."""

    @property
    def lead(self) -> str:
        """The device that is proved: the GPU, or what stands in for it."""
        return "gpu" if "gpu" in self.devices else self.devices[0]

    def rows(self, full: int) -> int:
        """As many, at this scale."""
        return max(1_000, round(full * self.scale))


@dataclass(frozen=True)
class Step:
    """Something that is done once."""

    name: str
    seconds: int
    """At most; then it is stopped, and failed."""
    run: Callable[[Proof, int], Json]
    """Takes the proof and the seconds; what it returns is kept."""


def steps(devices: Sequence[str]) -> list[Step]:
    """All steps for these devices, in order."""
    lead = "gpu" if "gpu" in devices else devices[0]
    others = [d for d in devices if d != lead]
    turns = [(device, turn) for turn in range(TURNS) for device in (lead, *others)]
    wides = [Step(f"wide {MANY:.0e} {d} {t}", 540, wide_run(MANY, d, t)) for d, t in turns]
    peers = ["ours", "cudf", "cudf.pandas"] if lead == "gpu" else ["ours", "pandas"]
    contests = [Step(f"peer {w} {t}", 400, peer(w, t)) for t in range(TURNS) for w in peers]
    return [
        Step("doctor", 120, doctor),
        Step("flights", 240, flights),
        Step("tests contract", 540, tested("contract")),
        Step("parity", 400, parity),
        Step(f"table {MANY:.0e}", 300, table(MANY)),
        # once each first: a proof that is cut short has something of everything
        *wides[: len(devices)],
        Step(f"table {MOST:.0e}", 540, table(MOST)),
        Step(f"wide {MOST:.0e} {lead} 0", 540, wide_run(MOST, lead, 0)),
        Step("table flights", 200, flights_like),
        *contests[: len(peers)],
        *(Step(f"ladder {share:g}", 400, ladder(share)) for share in LADDER),
        *wides[len(devices) :],
        *contests[len(peers) :],
        *(Step(f"tests {name}", 540, tested(name)) for name in (*FOLDERS[1:], "others")),
        *(Step(f"bench {n:.0e}", 540, benched(n)) for n in (100_000, 1_000_000)),
    ]


# -- what is there, and does it compute the same ---------------------------------------------------


def doctor(proof: Proof, seconds: int) -> Json:
    """What `doctor` finds."""
    return {"found": _json(proof, ["doctor", "--json"], seconds)}


def flights(proof: Proof, seconds: int) -> Json:
    """The run of the README on the device."""
    out = _fresh(proof, "flights")
    told = _json(proof, ["run", "--device", proof.lead, "--out", str(out), *_small(proof)], seconds)
    return {"metrics": told["metrics"], "seconds": told["seconds"], "stages": _ledger(out)}


def tested(folder: str) -> Callable[[Proof, int], Json]:
    """``pytest -m gpu`` of a folder of tests, or of the ``others``: counts of what happened."""
    which = [f"tests/{folder}"]
    if folder == "others":
        which = ["tests", *(f"--ignore=tests/{name}" for name in FOLDERS)]

    def run(proof: Proof, seconds: int) -> Json:
        if "gpu" not in proof.devices:
            raise NotHere("needs a GPU")
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
        return counted(report)

    return run


def counted(report: Path) -> Json:
    """The counts of a JUnit report, and the names of what failed, with the reason."""
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
    """Both devices on the same rows: what `parity` compares."""
    if len(proof.devices) < 2:
        raise NotHere("needs both devices")
    command = ["parity", "conf/flights.yaml", "--rows", str(proof.rows(200_000)), "--json"]
    kept = ["--out", str(proof.work / "parity.json")]
    try:
        return {"compared": _json(proof, [*command, *kept], seconds), "differs": False}
    except process_meter.CommandFailedError as error:
        if error.status != DIFFERS:
            raise
        return {"compared": json.loads(error.output), "differs": True}


# -- the wide table --------------------------------------------------------------------------------


def table(rows: int) -> Callable[[Proof, int], Json]:
    """Makes the wide table."""

    def run(proof: Proof, seconds: int) -> Json:
        asked = proof.rows(rows)
        module = [sys.executable, "-m", "benchmarks.gpu_proof.wide"]
        command = [*module, str(_table(proof, rows)), str(asked), str(process_meter.count_cores())]
        done = _run(proof, command, seconds)
        return {"rows": asked, "bytes": int(done.output), "seconds": round(done.seconds, 1)}

    return run


def wide_run(rows: int, device: str, turn: int) -> Callable[[Proof, int], Json]:
    """A timed run on the wide table."""

    def run(proof: Proof, seconds: int) -> Json:
        return _wide(proof, rows, Measurement(proof.rows(rows), device, turn), seconds)

    return run


def ladder(share: float) -> Callable[[Proof, int], Json]:
    """A run on the wide table with so much less GPU memory than it took."""

    def run(proof: Proof, seconds: int) -> Json:
        name = f"wide {MANY:.0e} gpu 0"
        if "gpu" not in proof.devices or not proof.results.get(name, {}).get("cell"):
            raise NotHere("needs a GPU, and a run with all of its memory before")
        limit = int(proof.results[name]["cell"]["peak_device"] * share)
        cell = Measurement(proof.rows(MANY), "gpu", 0)
        found = _wide(proof, MANY, cell, seconds, memory={"gpu": limit})
        return {**found, "memory.gpu": limit}

    return run


def _wide(proof: Proof, rows: int, cell: Measurement, seconds: int, **more: Any) -> Json:
    data = _table(proof, rows)
    path = proof.work / "wide.yaml"
    path.write_text(yaml.safe_dump(wide.config(data) | more))
    done = measurements.measure(cell, path, data, proof.work, seed=0, limit=seconds)
    if done.failed is not None:
        raise RuntimeError(done.failed)
    return {"cell": asdict(done)}


def _table(proof: Proof, rows: int) -> Path:
    return proof.work / f"wide-{proof.rows(rows)}"


# -- what others do --------------------------------------------------------------------------------


def flights_like(proof: Proof, seconds: int) -> Json:
    """The flights-like rows that we and the peers get."""
    rows, path = proof.rows(FLIGHTS), _flights(proof)
    command = ["-m", "benchmarks.generate", "--rows", str(rows), "--out", str(path), "--quiet"]
    done = _run(proof, [sys.executable, *command], seconds)
    return {"rows": rows, "bytes": path.stat().st_size, "seconds": round(done.seconds, 1)}


def peer(who: str, turn: int) -> Callable[[Proof, int], Json]:
    """A contestant's turn on the flights-like rows: the same features and model from everyone."""

    def run(proof: Proof, seconds: int) -> Json:
        out = _fresh(proof, "peer")
        done = _run(proof, contestant(who, proof, out, turn), seconds)
        found = {"seconds": round(done.seconds, 2), "peak_host": done.peak_bytes}
        if who == "ours":
            auc = json.loads(done.output)["metrics"]["models"]["xgboost"]["test"]["roc_auc"]
            return {**found, "auc": auc, "stages": _ledger(out)}
        told = json.loads((out / "job.json").read_text())
        return {**found, "auc": told["auc"], "stages": told["stages"]}

    return run


def contestant(who: str, proof: Proof, out: Path, turn: int) -> list[str]:
    """The command line of a contestant."""
    data = str(_flights(proof))
    if who == "ours":
        options = ["--device", proof.lead, "--no-dashboard", "--json", "-q"]
        own = ["run", str(CONFIG), "--data", data, "--out", str(out), "--set", f"seed={turn}"]
        return [sys.executable, "-m", "pipeline", *own, *options]
    given = [data, "--out", str(out), "--seed", str(turn)]
    if who == "cudf.pandas":  # the script for pandas as it is, but for XGBoost's device
        script = str(ROOT / "benchmarks" / "peers" / "pandas_xgboost.py")
        accelerated = ["-m", "cudf.pandas", "-m", "cuml.accel", script]
        return [sys.executable, *accelerated, *given, "--device", "cuda"]
    return [sys.executable, "-m", f"benchmarks.peers.{PEERS[who]}", *given]


def _flights(proof: Proof) -> Path:
    return proof.work / f"flights-{proof.rows(FLIGHTS)}.parquet"


def benched(rows: int) -> Callable[[Proof, int], Json]:
    """`bench` of the flights with both models: speed-up by stage."""

    def run(proof: Proof, seconds: int) -> Json:
        out = _fresh(proof, "bench")
        command = ["bench", "--rows", str(proof.rows(rows)), "--repeat", "1", "--out", str(out)]
        found = _json(proof, [*command, "--devices", ",".join(proof.devices), "--json"], seconds)
        return {name: found[name] for name in ("summary", "speedup", "rates", "missing")}

    return run


# -- running ---------------------------------------------------------------------------------------


def _run(proof: Proof, command: list[str], seconds: int) -> process_meter.ProcessUsage:
    environment = {**ENVIRONMENT, **measurements.child_environment()}
    return process_meter.run_measured(
        command, log=proof.work / "log.txt", env=environment, limit=seconds
    )


def _json(proof: Proof, arguments: list[str], seconds: int) -> Any:
    done = _run(proof, [sys.executable, "-m", "pipeline", *arguments], seconds)
    return json.loads(done.output)


def _small(proof: Proof) -> list[str]:
    """The README's run, or at a scale a small one."""
    rows = [] if proof.scale == 1 else ["--rows", str(proof.rows(_real_rows()))]
    return [*rows, "--no-dashboard", "--json", "-q"]


def _real_rows() -> int:
    """Rows of the real flights."""
    return len(generate.source())


def _fresh(proof: Proof, name: str) -> Path:
    shutil.rmtree(proof.work / name, ignore_errors=True)
    return proof.work / name


def _ledger(run: Path) -> list[Json]:
    return [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
