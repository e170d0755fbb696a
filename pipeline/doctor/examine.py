"""Examines this machine: what works, what does not and how to mend it, and what would run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.device.choose import DeviceChoice, choose_device
from pipeline.doctor import gpus, machine, packages
from pipeline.doctor.finding import Finding
from pipeline.doctor.host import Host, ThisHost

__all__ = ["Finding", "examine", "summarize_findings", "to_json"]


def examine(folder: Path = Path("data/runs"), host: Host | None = None) -> list[Finding]:
    """What was found, the choice of device last.

    Args:
        folder: where runs are written.
        host: what is asked; this machine by default.
    """
    host = host or ThisHost()
    found, limits = host.probe(), host.read_limits()
    health = host.read_health()
    computed = gpus.check_computation(host, found)
    failed = next((f.detail for f in computed if f.status == "fail"), None)
    choice = choose_device("auto", lambda: found, lambda: failed)
    return [
        *machine.examine_machine(folder, limits, len(found.gpus)),
        *packages.examine_packages(host, found),
        gpus.check_driver(found),
        *gpus.check_gpus(found, health),
        *gpus.check_conditions(found, health),
        *gpus.check_same_model(found),
        *gpus.check_peer_access(found, health),
        *gpus.check_spill_room(found, machine.get_memory_limit(limits)),
        *computed,
        describe_choice(choice, host),
    ]


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as JSON values; ``ok`` is False when one of them fails."""
    return {
        "ok": all(f.status != "fail" for f in findings),
        "findings": [asdict(f) for f in findings],
    }


def summarize_findings(findings: Sequence[Finding]) -> list[Finding]:
    """For reading: pins that fit are one line, and what the line before mends is left out."""
    fit = [f for f in findings if f.check in packages.PINNED and f.status == "ok"]
    shown: list[Finding] = []
    for finding in findings:
        if finding in fit:
            if finding is fit[0]:
                text = ", ".join(f"{f.check} {f.detail}" for f in fit)
                shown.append(Finding("versions", "ok", text))
        elif not (shown and _same_cause(shown[-1], finding)):
            shown.append(finding)
    return shown


def _same_cause(before: Finding, finding: Finding) -> bool:
    return bool(finding.fix) and finding.fix == before.fix and before.detail in finding.detail


def describe_choice(choice: DeviceChoice, host: Host) -> Finding:
    """What `device: auto` comes to on this machine."""
    kinds = {
        "cpu": {
            "pandas": ("pandas",), "scikit-learn": ("scikit-learn",),
            "XGBoost": packages.XGBOOSTS,
        },
        "gpu": {
            "cuDF": ("cudf-cu13", "cudf-cu12"), "cuML": ("cuml-cu13", "cuml-cu12"),
            "XGBoost": packages.XGBOOSTS,
        },
    }[choice.name]  # fmt: skip
    versions = packages.list_versions(host, kinds)
    detail = f"auto → {choice.name.upper()}: {versions} ({choice.reason})"
    return Finding("runs", "ok", detail)
