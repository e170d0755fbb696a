"""Examines this machine: what works, what does not and how to mend it, and what would run."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from pipeline.device.choose import Choice, choose
from pipeline.device.probe import Probe, probe
from pipeline.device.proof import prove

Status = Literal["ok", "warn", "fail"]
GIB = 2**30
PYTHONS = ((3, 11), (3, 13))
"""The oldest and the newest that are tested."""
XGBOOSTS = ("xgboost", "xgboost-cpu", "xgboost-cu13")
PINNED = ("pandas", "dask", "distributed", "bokeh", "treelite")
SMALL_MEMORY, SMALL_DISK, SMALL_SHM = 4 * GIB, 5 * GIB, 2**30
DASHBOARD = 8787


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    check: str
    status: Status
    detail: str
    fix: str = ""


def examine(
    folder: Path = Path("data/runs"),
    look: Callable[[], Probe] = probe,
    prove_it: Callable[[], str | None] = prove,
    installed: Callable[[str], str | None] | None = None,
) -> list[Finding]:
    """What was found, the choice of device last.

    Args:
        folder: where runs are written.
        look: finds GPUs without using them.
        prove_it: computes on the GPU in a process of its own; asked only if one is found.
        installed: version of a distribution, None where it is not installed.
    """
    installed = installed or version_of
    found = look()
    choice = choose("auto", lambda: found, prove_it)
    return [
        python(),
        system(),
        cores(),
        memory(),
        disk(folder),
        shared_memory(),
        port(),
        *pins(installed),
        driver(found),
        *gpus(found),
        rapids(found, installed),
        xgboost(found, installed),
        conclusion(choice, installed),
    ]


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as JSON values; ``ok`` is False when one of them fails."""
    return {
        "ok": all(f.status != "fail" for f in findings),
        "findings": [asdict(f) for f in findings],
    }


def version_of(name: str) -> str | None:
    """The installed version of a distribution."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


# -- the machine -----------------------------------------------------------------------------------


def python() -> Finding:
    """The interpreter is one that is tested."""
    ours, (oldest, newest) = sys.version_info[:2], PYTHONS
    detail = f"{platform.python_version()}, {sys.executable}"
    if oldest <= ours <= newest:
        return Finding("Python", "ok", detail)
    wanted = f"{oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}"
    return Finding("Python", "fail", detail, f"use Python {wanted}")


def system() -> Finding:
    """The operating system has wheels of everything."""
    detail = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if platform.system() == "Windows":
        return Finding("system", "fail", detail, "run it in WSL (wsl --install)")
    return Finding("system", "ok", detail)


def cores() -> Finding:
    """Cores that this process may use."""
    from dask.system import CPU_COUNT

    usable, all_ = int(CPU_COUNT), os.cpu_count() or 1
    limited = f" of the machine's {all_} (affinity or container limit)" if usable < all_ else ""
    return Finding("cores", "ok", f"{usable}{limited}")


def memory() -> Finding:
    """Memory that this process may use."""
    import psutil
    from distributed.system import MEMORY_LIMIT

    limit, all_, free = int(MEMORY_LIMIT), psutil.virtual_memory().total, _available()
    detail = f"{_gib(limit)}, {_gib(min(free, limit))} of it free"
    if limit < all_:
        detail += f" (container limit; the machine has {_gib(all_)})"
    if min(free, limit) < SMALL_MEMORY:
        fix = "fine for small data; for more, close programs or raise the container's limit"
        return Finding("memory", "warn", detail, fix)
    return Finding("memory", "ok", detail)


def _available() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def disk(folder: Path) -> Finding:
    """Room for run folders, and the right to write them."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    detail = f"{_gib(free)} free for {folder}"
    if not os.access(there, os.W_OK):
        return Finding("disk", "fail", f"{there} is not writable", "use --out FOLDER elsewhere")
    if free < SMALL_DISK:
        return Finding("disk", "warn", detail, "free some space, or use --out on another disk")
    return Finding("disk", "ok", detail)


def shared_memory(path: Path = Path("/dev/shm")) -> Finding:
    """What NCCL and worker processes share; containers give 64 MB by default."""
    if not path.exists():
        return Finding("shared memory", "ok", f"no {path} on this system; one process needs none")
    size = shutil.disk_usage(path).total
    if size < SMALL_SHM:
        fix = "docker run --shm-size=1g (only clusters of several processes need it)"
        return Finding("shared memory", "warn", f"{path} has {_gib(size)}", fix)
    return Finding("shared memory", "ok", f"{path} has {_gib(size)}")


def port(number: int = DASHBOARD) -> Finding:
    """The dashboard's port is free."""
    with socket.socket() as probed:
        probed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probed.bind(("127.0.0.1", number))
        except OSError:
            detail = f"port {number} is taken: the dashboard will use another, printed at the start"
            return Finding("dashboard", "warn", detail, "--no-dashboard does without one")
    return Finding("dashboard", "ok", f"port {number} is free")


# -- what is installed -----------------------------------------------------------------------------


def pins(installed: Callable[[str], str | None] = version_of) -> list[Finding]:
    """The libraries whose versions must fit RAPIDS and each other."""
    wanted = _wanted()
    found = []
    for name in PINNED:
        have, wants = installed(name), wanted.get(name, "")
        if have is None:
            found.append(Finding(name, "fail", "not installed", f'pip install "{name}{wants}"'))
        elif wants and not _fits(have, wants):
            fix = f'pip install "{name}{wants}"'
            found.append(Finding(name, "fail", f"{have}, but {wants} is needed", fix))
        else:
            found.append(Finding(name, "ok", have))
    return found


def _wanted() -> dict[str, str]:
    """What this package's own metadata require, by name."""
    from packaging.requirements import Requirement

    try:
        lines = requires("pipeline") or []
    except PackageNotFoundError:  # run from a checkout
        return {}
    parsed = [Requirement(line) for line in lines]
    return {r.name: str(r.specifier) for r in parsed if r.marker is None}


def _fits(have: str, wants: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wants).contains(have, prereleases=True)


def driver(found: Probe) -> Finding:
    """NVIDIA's driver."""
    if found.driver:
        runs = f"{found.cuda // 1000}.{found.cuda % 1000 // 10}"
        return Finding("driver", "ok", f"{found.driver}, up to CUDA {runs}")
    return Finding("driver", "warn", found.reason or "unknown", found.fix)


def gpus(found: Probe) -> list[Finding]:
    """A line per GPU that can be used, or why there is none."""
    if found.reason:
        return [Finding("GPU", "warn", f"none: {found.reason}", found.fix)]
    return [
        Finding(
            f"GPU {g.index}", "ok",
            f"{g.name}, {_gib(g.free)} of {_gib(g.memory)} free, compute capability "
            f"{g.capability[0]}.{g.capability[1]}",
        )
        for g in found.gpus
    ]  # fmt: skip


def rapids(found: Probe, installed: Callable[[str], str | None] = version_of) -> Finding:
    """RAPIDS and CuPy: none on the CPU, one CUDA major version on a GPU."""
    names = [f"{n}-cu{m}" for m in (13, 12) for n in ("cudf", "cuml", "nvforest")]
    names += ["cupy-cuda13x", "cupy-cuda12x"]
    have = {name: v for name in names if (v := installed(name))}
    detail = ", ".join(f"{n} {v}" for n, v in have.items()) or "not installed"
    if {"12", "13"} <= {n[-2:] for n in have if n.startswith(("cudf", "cuml"))}:
        return Finding(
            "RAPIDS", "fail", detail, "CUDA 12 and 13 do not mix: make a new environment"
        )
    if not have and found.driver:
        return Finding("RAPIDS", "warn", detail, 'pip install -c constraints.txt ".[gpu]"')
    return Finding("RAPIDS", "ok", detail if have else f"{detail}, and not needed on the CPU")


def xgboost(found: Probe, installed: Callable[[str], str | None] = version_of) -> Finding:
    """Exactly one of the three distributions that all bring the module ``xgboost``."""
    have = {name: v for name in XGBOOSTS if (v := installed(name))}
    detail = ", ".join(f"{n} {v}" for n, v in have.items())
    if not have:
        return Finding("XGBoost", "fail", "not installed", 'pip install ".[cpu]" or ".[gpu]"')
    if len(have) > 1:
        keep = "xgboost-cu13" if found.gpus else "xgboost-cpu"
        fix = f"pip uninstall -y {' '.join(have)} && pip install {keep}==3.2.*"
        return Finding("XGBoost", "fail", f"{detail}: they overwrite each other's files", fix)
    (name,) = have
    if found.gpus and name == "xgboost-cpu":
        fix = "pip uninstall -y xgboost-cpu && pip install xgboost-cu13==3.2.*"
        return Finding("XGBoost", "fail", f"{detail} has no GPU code, and there is a GPU", fix)
    if not found.gpus and name == "xgboost-cu13":
        return Finding("XGBoost", "ok", f"{detail} (the GPU build; it trains on the CPU too)")
    return Finding("XGBoost", "ok", detail)


# -- what would run --------------------------------------------------------------------------------


def conclusion(choice: Choice, installed: Callable[[str], str | None] = version_of) -> Finding:
    """What `device: auto` comes to on this machine."""
    kinds = {
        "cpu": {"pandas": ("pandas",), "scikit-learn": ("scikit-learn",), "XGBoost": XGBOOSTS},
        "gpu": {
            "cuDF": ("cudf-cu13", "cudf-cu12"), "cuML": ("cuml-cu13", "cuml-cu12"),
            "XGBoost": XGBOOSTS,
        },
    }[choice.name]  # fmt: skip
    parts = []
    for shown, names in kinds.items():
        versions = [v for name in names if (v := installed(name))]
        parts.append(f"{shown} {versions[0] if versions else '(not installed)'}")
    detail = f"auto → {choice.name.upper()}: {', '.join(parts)} ({choice.reason})"
    return Finding("runs", "ok", detail)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
