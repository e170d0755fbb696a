"""Examination of this machine: what works, what fails and how to fix it, and what would run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.device.choose import DeviceChoice, choose_device
from pipeline.doctor import gpus, machine, packages
from pipeline.doctor.finding import Finding
from pipeline.doctor.host import Host, ThisHost
from pipeline.versions import XGBOOST_PACKAGES

__all__ = ["Finding", "examine", "summarize_findings", "to_json"]


def examine(folder: Path = Path("data/runs"), host: Host | None = None) -> list[Finding]:
    """Examine a machine; the last finding is the choice of device.

    Args:
        folder: the folder where runs are written.
        host: the machine to examine; this one by default.
    """
    host = host or ThisHost()
    probe, limits = host.probe(), host.read_limits()
    health = host.read_health()
    computed = gpus.check_computation(host, probe)
    failed = next((f.detail for f in computed if f.status == "fail"), None)
    # A run makes the same choice: a GPU that does not compute is not used.
    choice = choose_device("auto", lambda: probe, lambda _: failed)
    return [
        *machine.examine_machine(folder, limits, len(probe.gpus)),
        *packages.examine_packages(host, probe),
        gpus.check_driver(probe),
        *gpus.check_gpus(probe, health),
        *gpus.check_conditions(probe, health),
        *gpus.check_same_model(probe),
        *gpus.check_peer_access(probe, health),
        *gpus.check_spill_room(probe, machine.get_memory_limit(limits)),
        *computed,
        describe_choice(choice, host),
    ]


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as JSON values; ``ok`` is False if one of them fails."""
    return {
        "ok": all(f.status != "fail" for f in findings),
        "findings": [asdict(f) for f in findings],
    }


def summarize_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Shorten the findings for reading: one line for all matching pins, and no repetitions."""
    pins = [f for f in findings if f.check in packages.PINNED and f.status == "ok"]
    shown: list[Finding] = []
    for finding in findings:
        if finding in pins:
            if finding is pins[0]:
                text = ", ".join(f"{f.check} {f.detail}" for f in pins)
                shown.append(Finding("versions", "ok", text))
            continue
        # A missing driver fails several checks: the first line has the reason and the fix.
        last = shown[-1] if shown else None
        is_repeated = (
            last is not None
            and bool(finding.fix)
            and finding.fix == last.fix
            and last.detail in finding.detail
        )
        if not is_repeated:
            shown.append(finding)
    return shown


def describe_choice(choice: DeviceChoice, host: Host) -> Finding:
    """Describe the device that `device: auto` chooses on this machine."""
    libraries: dict[str, tuple[str, ...]]
    if choice.name == "cpu":
        libraries = {"pandas": ("pandas",), "scikit-learn": ("scikit-learn",)}
    else:
        libraries = {"cuDF": ("cudf-cu13", "cudf-cu12"), "cuML": ("cuml-cu13", "cuml-cu12")}
    versions = packages.list_versions(host, {**libraries, "XGBoost": XGBOOST_PACKAGES})
    return Finding("runs", "ok", f"auto → {choice.name.upper()}: {versions} ({choice.reason})")
