"""What is installed, and whether it fits: the pins, RAPIDS, XGBoost, NCCL, UCX and the driver."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from pipeline.device.probe import Probe, cuda_text
from pipeline.doctor.finding import Finding
from pipeline.doctor.host import Host

XGBOOSTS = ("xgboost", "xgboost-cpu", "xgboost-cu13")
PINNED = ("pandas", "dask", "distributed", "bokeh", "treelite")
MAJORS = (13, 12)
FAMILY = (
    "cudf", "cuml", "nvforest", "dask-cudf", "raft-dask", "pylibcudf", "libcudf", "rmm", "librmm",
    "pylibraft", "libcuml",
)  # fmt: skip
"""RAPIDS' distributions, which end in ``-cu12`` or ``-cu13``."""
CUPYS = {"cupy-cuda13x": 13, "cupy-cuda12x": 12}
MOST_EXAMPLES = 3


def examine_packages(host: Host, found: Probe) -> list[Finding]:
    """Everything here; UCX and the library path only where RAPIDS is installed."""
    findings = [*check_pins(host), check_rapids(host, found)]
    if _rapids(host):
        findings += [check_requirements(host), check_library_path(host), check_ucx(host)]
    return [*findings, check_xgboost(host, found), *check_nccl(host)]


def check_pins(host: Host) -> list[Finding]:
    """The libraries whose versions must fit RAPIDS and each other."""
    wanted = _wanted()
    found = []
    for name in PINNED:
        have, wants = host.find_version(name), wanted.get(name, "")
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


def _rapids(host: Host) -> dict[str, str]:
    """RAPIDS' and CuPy's installed distributions with their versions."""
    names = [f"{name}-cu{major}" for major in MAJORS for name in FAMILY]
    return {n: v for n in (*names, *CUPYS, "dask-cuda") if (v := host.find_version(n))}


def find_cuda_major(host: Host) -> int | None:
    """The CUDA version that cuDF was built for; None without cuDF."""
    return next((major for major in MAJORS if host.find_version(f"cudf-cu{major}")), None)


def _extra(major: int | None) -> str:
    return ".[gpu-cu12]" if major == 12 else ".[gpu]"


def check_rapids(host: Host, found: Probe) -> Finding:
    """RAPIDS and CuPy: none on the CPU, one CUDA version on a GPU, which the driver runs."""
    have = _rapids(host)
    shown = [n for n in have if n.startswith(("cudf", "cuml", "nvforest", "cupy", "dask-cuda"))]
    detail = ", ".join(f"{n} {have[n]}" for n in shown) or "not installed"
    majors = {CUPYS.get(n) or int(n[-2:]) for n in have if n != "dask-cuda"}
    if len(majors) > 1:
        fix = f'CUDA 12 and 13 do not mix: pip install "{_new(found)}" in a new environment'
        return Finding("RAPIDS", "fail", detail, fix)
    if have and found.cuda and found.cuda < max(majors, default=0) * 1000:
        runs = cuda_text(found.cuda)
        detail += f": made for CUDA {max(majors)}, the driver {found.driver} runs CUDA {runs}"
        return Finding("RAPIDS", "fail", detail, found.fix)
    if not have and found.driver:
        fix = f'pip install -c constraints.txt "{_new(found)}"'
        return Finding("RAPIDS", "warn", detail, fix)
    return Finding("RAPIDS", "ok", detail if have else f"{detail}, and not needed on the CPU")


def _new(found: Probe) -> str:
    """The extra for a new environment on this driver."""
    return _extra(12 if found.cuda and found.cuda < 13000 else 13)


def check_requirements(host: Host) -> Finding:
    """What RAPIDS and CuPy require of each other and of the rest (pandas, Numba, CUDA) is there."""
    have = _rapids(host)
    broken = [text for name in have for text in _broken(host, name, have[name])]
    if not broken:
        return Finding("versions fit", "ok", f"all that {len(have)} packages of RAPIDS require")
    more = len(broken) - MOST_EXAMPLES
    detail = "; ".join(broken[:MOST_EXAMPLES]) + (f"; {more} more" if more > 0 else "")
    extra = _extra(find_cuda_major(host))
    fix = f'pip install -c constraints.txt "{extra}", best in a new environment'
    return Finding("versions fit", "fail", detail, fix)


def _broken(host: Host, name: str, version: str) -> list[str]:
    """What a distribution requires and does not get; extras aside."""
    from packaging.requirements import Requirement

    found = []
    for requirement in map(Requirement, host.list_requirements(name)):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        have = host.find_version(requirement.name)
        if have is None or not _fits(have, str(requirement.specifier)):
            wants = f"{requirement.name}{requirement.specifier}"
            found.append(f"{name} {version} needs {wants}, and {have or 'none'} is installed")
    return found


def check_library_path(host: Host) -> Finding:
    """No other CUDA is put before the one that the packages bring."""
    major = find_cuda_major(host)
    folders = [f for f in host.environ.get("LD_LIBRARY_PATH", "").split(":") if f]
    other = [(f, m) for f in folders for m in _cuda_in(Path(f)) if m != major]
    if not other:
        return Finding("library path", "ok", "no other CUDA in LD_LIBRARY_PATH")
    folder, there = other[0]
    detail = f"LD_LIBRARY_PATH has {folder} with CUDA {there}, cuDF was made for CUDA {major}"
    return Finding("library path", "warn", detail, "unset LD_LIBRARY_PATH: the packages need none")


def _cuda_in(folder: Path) -> set[int]:
    """Major versions of the CUDA libraries in a folder, by their file names."""
    found = [
        re.fullmatch(r"lib(?:cudart|cublas|nvrtc)\.so\.(\d+)", path.name)
        for path in (folder.glob("lib*.so.*") if folder.is_dir() else ())
    ]
    return {int(match[1]) for match in found if match}


def check_xgboost(host: Host, found: Probe) -> Finding:
    """Exactly one of the three distributions that all bring the module ``xgboost``, which fits."""
    have = {name: v for name in XGBOOSTS if (v := host.find_version(name))}
    detail = ", ".join(f"{n} {v}" for n, v in have.items())
    right = _right_xgboost(found)
    if not have:
        return Finding("XGBoost", "fail", "not installed", 'pip install ".[cpu]" or ".[gpu]"')
    fix = f"pip uninstall -y {' '.join(have)} && pip install {right}==3.2.*"
    if len(have) > 1:
        return Finding("XGBoost", "fail", f"{detail}: they overwrite each other's files", fix)
    (name,) = have
    if found.gpus and name == "xgboost-cpu":
        return Finding("XGBoost", "fail", f"{detail} has no GPU code, and there is a GPU", fix)
    if name == "xgboost-cu13" and 0 < found.cuda < 13000:
        runs = cuda_text(found.cuda)
        return Finding("XGBoost", "fail", f"{detail}: the driver runs CUDA {runs} only", fix)
    if not found.gpus and name == "xgboost-cu13":
        return Finding("XGBoost", "ok", f"{detail} (the GPU build; it trains on the CPU too)")
    return Finding("XGBoost", "ok", detail)


def _right_xgboost(found: Probe) -> str:
    if not found.driver:
        return "xgboost-cpu"
    return "xgboost-cu13" if found.cuda >= 13000 else "xgboost"


def check_nccl(host: Host) -> list[Finding]:
    """One NCCL: the packages for CUDA 12 and 13 lie in the same folder. None: no finding."""
    have = {n: v for m in MAJORS if (v := host.find_version(n := f"nvidia-nccl-cu{m}"))}
    detail = ", ".join(f"{n} {v}" for n, v in have.items())
    if len(have) > 1:
        right = f"nvidia-nccl-cu{find_cuda_major(host) or 13}"
        wrong = next(name for name in have if name != right)
        fix = f"pip uninstall -y {wrong} && pip install --force-reinstall --no-deps {right}"
        return [Finding("NCCL", "warn", f"{detail}: they overwrite each other's files", fix)]
    return [Finding("NCCL", "ok", detail)] if have else []


def check_ucx(host: Host) -> Finding:
    """What ``cluster.gpus.protocol: ucx`` takes; nothing else needs it."""
    name = f"distributed-ucxx-cu{find_cuda_major(host) or 13}"
    have = host.find_version(name)
    detail = f"{name} {have}" if have else f"{name} is not installed"
    need = "only `cluster.gpus.protocol: ucx` needs it"
    return Finding("UCX", "ok", f"{detail}; {need}")


def list_versions(host: Host, names: Mapping[str, Sequence[str]]) -> str:
    """``cuDF 26.10.2, …``: of each, the first distribution that is installed."""
    parts = []
    for shown, distributions in names.items():
        versions = [v for name in distributions if (v := host.find_version(name))]
        parts.append(f"{shown} {versions[0] if versions else '(not installed)'}")
    return ", ".join(parts)
