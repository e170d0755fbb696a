"""The proof of the GPU path, in steps of under ten minutes, the most informative first.

    python -m benchmarks.gpu_proof                     on a GPU host, from the repository's root
    python -m benchmarks.gpu_proof --seconds 540       stops in time; the next call resumes
    python -m benchmarks.gpu_proof --devices cpu --scale 0.0005 --out /tmp/proof     to try it out

Results are written after each step, to docs/gpu-results/<date>-<gpu>.json and .md. A step runs
once, also if it fails; ``--again NAME`` repeats one step, ``--again failed`` all that failed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.gpu_proof import page
from benchmarks.gpu_proof.steps import NotApplicable, Proof, Step, plan_steps
from pipeline.artifacts.files import read_json, write_json, write_text
from pipeline.bench import bandwidth, process_meter
from pipeline.device.probe import Gpu, probe_gpus

Json = dict[str, Any]


def main() -> int:
    """Run the command; return 3 without the requested GPU, 1 if a step failed."""
    asked = _parse_arguments()
    machine = probe_gpus()
    gpus = machine.gpus if "gpu" in asked.devices else ()
    if "gpu" in asked.devices and machine.reason:
        print(f"no GPU: {machine.reason}; --devices cpu tries the steps", file=sys.stderr)
        return 3
    asked.work.mkdir(parents=True, exist_ok=True)
    commit = _describe_commit()
    path, state = find_results(asked.out, name_machine(gpus), asked.devices, asked.scale, commit)
    if not state:
        state.update(_new_state(asked, gpus, machine.driver, commit))
    _forget_steps(state, asked.again)
    run_steps(asked, state, path)
    print(f"results: {path} and .md", file=sys.stderr)
    return int(any("failed" in step for step in state["steps"].values()))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_proof", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--devices", type=lambda t: t.split(","), default=["gpu", "cpu"])
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all numbers of rows")
    parser.add_argument("--seconds", type=float, help="start only steps that end by then")
    parser.add_argument("--only", help="run the steps whose names match this regular expression")
    parser.add_argument("--again", default="", help="repeat this step, or: failed")
    parser.add_argument(
        "--work", type=Path, default=Path("data/cache/gpu-proof"), help="folder of the data"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("docs/gpu-results"), help="folder of the results"
    )
    parser.add_argument("--list", action="store_true", help="list the steps and exit")
    asked = parser.parse_args()
    if wrong := [d for d in asked.devices if d not in ("cpu", "gpu")]:
        parser.error(f"--devices: {wrong[0]!r} is neither cpu nor gpu")
    if asked.list:
        print("\n".join(step.name for step in plan_steps(asked.devices)))
        sys.exit(0)
    return asked


def name_machine(gpus: tuple[Gpu, ...]) -> str:
    """Return the machine's part of a file name: ``nvidia-h200``, ``2x-nvidia-l4``, ``cpu``."""
    if not gpus:
        return "cpu"
    many = f"{len(gpus)}x-" if len(gpus) > 1 else ""
    return many + re.sub(r"[^a-z0-9]+", "-", gpus[0].name.lower()).strip("-")


def find_results(
    out: Path, name: str, devices: tuple[str, ...], scale: float, commit: str
) -> tuple[Path, Json]:
    """Find the results to extend: unfinished ones of this machine, or those of this commit.

    Returns:
        The file and its content; for a new proof, a new name and an empty dict.
    """
    for path in sorted(out.glob(f"*-{name}*.json"), reverse=True):
        state: Json = read_json(path)
        same = state.get("devices") == list(devices) and state.get("scale") == scale
        if same and (not state["finished"] or state["commit"] == commit):
            return path, state
    stem = f"{datetime.now(UTC):%Y-%m-%d}-{name}"
    taken = len(list(out.glob(f"{stem}*.json")))
    return out / f"{stem}{f'-{taken + 1}' if taken else ''}.json", {}


def _new_state(asked: argparse.Namespace, gpus: tuple[Gpu, ...], driver: str, commit: str) -> Json:
    limits = {"gpu": bandwidth.read_gpu_limits(gpus)} if gpus else {}
    return {
        "started": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", "finished": False,
        "commit": commit, "devices": asked.devices, "scale": asked.scale,
        "machine": process_meter.describe_machine(), "gpus": [asdict(gpu) for gpu in gpus],
        "driver": driver,
        "rates": {device: asdict(one) for device, one in limits.items()}, "steps": {},
    }  # fmt: skip


def _describe_commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _forget_steps(state: Json, again: str) -> None:
    for name in list(state["steps"]):
        if again == name or (again == "failed" and "failed" in state["steps"][name]):
            del state["steps"][name]


def run_steps(asked: argparse.Namespace, state: Json, path: Path) -> None:
    """Run the remaining steps within the time; write the results after each."""
    begun = time.monotonic()
    planned = plan_steps(asked.devices)
    for step in planned:
        if step.name in state["steps"] or (asked.only and not re.search(asked.only, step.name)):
            continue
        left = None if asked.seconds is None else asked.seconds - (time.monotonic() - begun)
        if left is not None and left < step.seconds:
            print(
                f"{step.name}: not started, {left:.0f} s are left of {step.seconds}",
                file=sys.stderr,
            )
            continue
        print(f"{step.name} …", file=sys.stderr, flush=True)
        state["steps"][step.name] = done = run_step(step, asked, state)
        outcome = done.get("failed") or done.get("absent") or "done"
        print(f"{step.name}: {done['seconds']:.1f} s, {outcome}", file=sys.stderr, flush=True)
        write_state(state, path, asked.work)
    state["finished"] = all(step.name in state["steps"] for step in planned)
    write_state(state, path, asked.work)


def run_step(step: Step, asked: argparse.Namespace, state: Json) -> Json:
    """Run a step; return its result or the reason for its absence. Any exception is a failure."""
    results = {name: s["result"] for name, s in state["steps"].items() if "result" in s}
    proof = Proof(tuple(asked.devices), asked.scale, asked.work, results)
    begun, outcome = time.monotonic(), {}
    try:
        outcome = {"result": step.run(proof, step.seconds)}
    except NotApplicable as reason:
        outcome = {"absent": str(reason)}
    except process_meter.CommandFailedError as error:
        outcome = {"failed": f"status {error.status}: {error.errors[-1500:]}"}
    except Exception as error:  # a faulty step must not keep the others from running
        outcome = {"failed": f"{type(error).__name__}: {error}"}
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    return {
        "at": at,
        "commit": _describe_commit(),
        "seconds": round(time.monotonic() - begun, 1),
        **outcome,
    }


def write_state(state: Json, path: Path, work: Path) -> None:
    """Write the results so far, and the page."""
    tables = sorted(work.glob("wide-*/*.parquet"))
    if tables and "cpu" in state["devices"] and "cpu" not in state["rates"]:
        state["rates"]["cpu"] = asdict(
            bandwidth.measure_cpu(tables[0], process_meter.count_cores())
        )
    write_json(path, {**state, "targets": page.check_targets(state)})
    write_text(path.with_suffix(".md"), page.render_page(state))


if __name__ == "__main__":
    sys.exit(main())
