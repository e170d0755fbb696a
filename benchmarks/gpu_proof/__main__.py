"""All evidence about the GPU, in steps of under ten minutes, the most telling first.

    python -m benchmarks.gpu_proof                     on a GPU host, from the repository's root
    python -m benchmarks.gpu_proof --seconds 540       ends before; started again it goes on
    python -m benchmarks.gpu_proof --devices cpu --scale 0.0005 --out /tmp/proof     to try it out

Results lie in docs/gpu-results/<date>-<gpu>.json and .md, written after each step. Steps that are
done are not done again, also those that failed; ``--again NAME`` does one again, ``--again failed``
all that failed.
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
from benchmarks.gpu_proof.steps import NotHere, Proof, Step, steps
from pipeline.artifacts.files import read_json, write_json, write_text
from pipeline.bench import bandwidth, process_meter
from pipeline.device.probe import Gpu, probe_gpus

Json = dict[str, Any]


def main() -> int:
    """The command line; 3 without the GPU that was asked for, 1 if a step has failed."""
    asked = _arguments()
    found = probe_gpus()
    gpus = found.gpus if "gpu" in asked.devices else ()
    if "gpu" in asked.devices and found.reason:
        print(f"no GPU: {found.reason}; --devices cpu tries the steps out", file=sys.stderr)
        return 3
    asked.work.mkdir(parents=True, exist_ok=True)
    commit = _commit()
    path, state = opened(asked.out, _name(gpus), asked.devices, asked.scale, commit)
    if not state:
        state.update(_begun(asked, gpus, found.driver, commit))
    _forget(state, asked.again)
    _go_on(asked, state, path)
    print(f"written: {path} and .md", file=sys.stderr)
    return int(any("failed" in step for step in state["steps"].values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_proof", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--devices", type=lambda t: t.split(","), default=["gpu", "cpu"])
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of rows")
    parser.add_argument("--seconds", type=float, help="begin no step that may not end by then")
    parser.add_argument("--only", help="steps whose names match this regular expression")
    parser.add_argument("--again", default="", help="a step to do again, or: failed")
    parser.add_argument("--work", type=Path, default=Path("data/cache/gpu-proof"), help="for data")
    parser.add_argument("--out", type=Path, default=Path("docs/gpu-results"), help="of the results")
    parser.add_argument("--list", action="store_true", help="name the steps and do nothing")
    asked = parser.parse_args()
    if wrong := [d for d in asked.devices if d not in ("cpu", "gpu")]:
        parser.error(f"--devices: {wrong[0]!r} is neither cpu nor gpu")
    if asked.list:
        print("\n".join(step.name for step in steps(asked.devices)))
        sys.exit(0)
    return asked


def _name(gpus: tuple[Gpu, ...]) -> str:
    """The machine in a file name: ``nvidia-h200``, ``2x-nvidia-l4``, ``cpu``."""
    if not gpus:
        return "cpu"
    many = f"{len(gpus)}x-" if len(gpus) > 1 else ""
    return many + re.sub(r"[^a-z0-9]+", "-", gpus[0].name.lower()).strip("-")


def opened(
    out: Path, name: str, devices: tuple[str, ...], scale: float, commit: str
) -> tuple[Path, Json]:
    """The results to go on with: unfinished ones of this machine, or those of this commit.

    Returns:
        Their file and what it holds; nothing where they are new.
    """
    for path in sorted(out.glob(f"*-{name}*.json"), reverse=True):
        state: Json = read_json(path)
        same = state.get("devices") == list(devices) and state.get("scale") == scale
        if same and (not state["finished"] or state["commit"] == commit):
            return path, state
    stem = f"{datetime.now(UTC):%Y-%m-%d}-{name}"
    taken = len(list(out.glob(f"{stem}*.json")))
    return out / f"{stem}{f'-{taken + 1}' if taken else ''}.json", {}


def _begun(asked: argparse.Namespace, gpus: tuple[Gpu, ...], driver: str, commit: str) -> Json:
    told = {"gpu": bandwidth.read_gpu_limits(gpus)} if gpus else {}
    return {
        "started": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", "finished": False,
        "commit": commit, "devices": asked.devices, "scale": asked.scale,
        "machine": process_meter.describe_machine(), "gpus": [asdict(gpu) for gpu in gpus],
        "driver": driver,
        "rates": {device: asdict(one) for device, one in told.items()}, "steps": {},
    }  # fmt: skip


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _forget(state: Json, again: str) -> None:
    for name in list(state["steps"]):
        if again == name or (again == "failed" and "failed" in state["steps"][name]):
            del state["steps"][name]


def _go_on(asked: argparse.Namespace, state: Json, path: Path) -> None:
    """Does the steps that are left, as far as the time reaches; keeps the results of each."""
    begun = time.monotonic()
    planned = steps(asked.devices)
    for step in planned:
        if step.name in state["steps"] or (asked.only and not re.search(asked.only, step.name)):
            continue
        left = None if asked.seconds is None else asked.seconds - (time.monotonic() - begun)
        if left is not None and left < step.seconds:
            print(
                f"{step.name}: not begun, {left:.0f} s are left of {step.seconds}", file=sys.stderr
            )
            continue
        print(f"{step.name} …", file=sys.stderr, flush=True)
        state["steps"][step.name] = done = _tried(step, asked, state)
        told = done.get("failed") or done.get("absent") or "done"
        print(f"{step.name}: {done['seconds']:.1f} s, {told}", file=sys.stderr, flush=True)
        keep(state, path, asked.work)
    state["finished"] = all(step.name in state["steps"] for step in planned)
    keep(state, path, asked.work)


def _tried(step: Step, asked: argparse.Namespace, state: Json) -> Json:
    """The step's result, or why there is none; anything but an interruption is a failed step."""
    results = {name: s["result"] for name, s in state["steps"].items() if "result" in s}
    proof = Proof(tuple(asked.devices), asked.scale, asked.work, results)
    begun, found = time.monotonic(), {}
    try:
        found = {"result": step.run(proof, step.seconds)}
    except NotHere as reason:
        found = {"absent": str(reason)}
    except process_meter.CommandFailedError as error:
        found = {"failed": f"status {error.status}: {error.errors[-1500:]}"}
    except Exception as error:  # a step that is wrong must not keep the others from running
        found = {"failed": f"{type(error).__name__}: {error}"}
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    return {"at": at, "commit": _commit(), "seconds": round(time.monotonic() - begun, 1), **found}


def keep(state: Json, path: Path, work: Path) -> None:
    """Writes the results so far, and the page."""
    tables = sorted(work.glob("wide-*/*.parquet"))
    if tables and "cpu" in state["devices"] and "cpu" not in state["rates"]:
        state["rates"]["cpu"] = asdict(
            bandwidth.measure_cpu(tables[0], process_meter.count_cores())
        )
    write_json(path, {**state, "targets": page.targets(state)})
    write_text(path.with_suffix(".md"), page.page(state))


if __name__ == "__main__":
    sys.exit(main())
