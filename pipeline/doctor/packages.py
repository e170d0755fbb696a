"""Checks of the installed packages: pins, RAPIDS, XGBoost, NCCL, UCX, and their driver."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from pipeline.device.probe import Probe, cuda_text
from pipeline.doctor.finding import Finding
from pipeline.doctor.host import Host
from pipeline.versions import XGBOOST_PACKAGES, find_xgboost_cuda

PINNED = ("pandas", "dask", "distributed", "bokeh", "treelite")
MAJORS = (13, 12)
FAMILY = (
    "cudf", "cuml", "nvforest", "dask-cudf", "raft-dask", "pylibcudf", "libcudf", "rmm", "librmm",
    "pylibraft", "libcuml",
)  # fmt: skip
"""Distributions of RAPIDS, whose names end in ``-cu12`` or ``-cu13``."""
CUPYS = {"cupy-cuda13x": 13, "cupy-cuda12x": 12}
MOST_EXAMPLES = 3


def examine_packages(host: Host, probe: Probe) -> list[Finding]:
    """Run all checks of this module; some of them only if RAPIDS is installed."""
    findings = [*check_pins(host), check_rapids(host, probe)]
    if _list_rapids(host):
        findings += [check_requirements(host), check_library_path(host), check_ucx(host)]
    return [*findings, check_xgboost(host, probe), *check_nccl(host)]


def check_pins(host: Host) -> list[Finding]:
    """Check the libraries whose versions must match RAPIDS and each other."""
    pins = _read_pins()
    findings = []
    for name in PINNED:
        version, pin = host.find_version(name), pins.get(name, "")
        fix = f'pip install "{name}{pin}"'
        if version is None:
            findings.append(Finding(name, "fail", "not installed", fix))
        elif pin and not _satisfies(version, pin):
            findings.append(Finding(name, "fail", f"{version}, but {pin} is needed", fix))
        else:
            findings.append(Finding(name, "ok", version))
    return findings


def _read_pins() -> dict[str, str]:
    """Return the version specifiers in this package's own metadata, by name."""
    from packaging.requirements import Requirement

    try:
        lines = requires("pipeline") or []
    except PackageNotFoundError:
        # A checkout that is not installed has no metadata.
        return {}
    requirements = map(Requirement, lines)
    return {r.name: str(r.specifier) for r in requirements if r.marker is None}


def _satisfies(version: str, specifier: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifier).contains(version, prereleases=True)


def _list_rapids(host: Host) -> dict[str, str]:
    """Return the installed distributions of RAPIDS and CuPy with their versions."""
    names = [f"{name}-cu{major}" for major in MAJORS for name in FAMILY]
    return {n: v for n in (*names, *CUPYS, "dask-cuda") if (v := host.find_version(n))}


def find_cuda_major(host: Host) -> int | None:
    """Return the CUDA version that cuDF was built for; None without cuDF."""
    return next((major for major in MAJORS if host.find_version(f"cudf-cu{major}")), None)


def _choose_extra(major: int | None) -> str:
    return ".[gpu-cu12]" if major == 12 else ".[gpu]"


def check_rapids(host: Host, probe: Probe) -> Finding:
    """Check RAPIDS and CuPy: on a GPU they are of one CUDA version, which the driver runs."""
    installed = _list_rapids(host)
    prefixes = ("cudf", "cuml", "nvforest", "cupy", "dask-cuda")
    shown = [n for n in installed if n.startswith(prefixes)]
    detail = ", ".join(f"{n} {installed[n]}" for n in shown) or "not installed"
    majors = {CUPYS.get(n) or int(n[-2:]) for n in installed if n != "dask-cuda"}
    # The driver decides which extra a new environment needs.
    extra = _choose_extra(12 if probe.cuda and probe.cuda < 13000 else 13)
    if len(majors) > 1:
        fix = f'pip install "{extra}" in a new environment: CUDA 12 and 13 cannot be mixed'
        return Finding("RAPIDS", "fail", detail, fix)
    if installed and probe.cuda and probe.cuda < max(majors, default=0) * 1000:
        runs = cuda_text(probe.cuda)
        detail += f": built for CUDA {max(majors)}, but driver {probe.driver} runs CUDA {runs}"
        return Finding("RAPIDS", "fail", detail, probe.fix)
    if not installed and probe.driver:
        return Finding("RAPIDS", "warn", detail, f'pip install -c constraints.txt "{extra}"')
    return Finding("RAPIDS", "ok", detail if installed else f"{detail}; not needed on the CPU")


def check_requirements(host: Host) -> Finding:
    """Check what RAPIDS and CuPy require of each other and of pandas, Numba and CUDA."""
    from packaging.requirements import Requirement

    installed = _list_rapids(host)
    broken = []
    for name, version in installed.items():
        for requirement in map(Requirement, host.list_requirements(name)):
            # Requirements of extras that nobody asked for do not count.
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            actual = host.find_version(requirement.name)
            if actual is None or not _satisfies(actual, str(requirement.specifier)):
                wanted = f"{requirement.name}{requirement.specifier}"
                broken.append(
                    f"{name} {version} needs {wanted}, and {actual or 'none'} is installed"
                )
    if not broken:
        detail = f"the requirements of {len(installed)} packages of RAPIDS are met"
        return Finding("versions fit", "ok", detail)
    more = len(broken) - MOST_EXAMPLES
    detail = "; ".join(broken[:MOST_EXAMPLES]) + (f"; {more} more" if more > 0 else "")
    extra = _choose_extra(find_cuda_major(host))
    fix = f'pip install -c constraints.txt "{extra}", preferably in a new environment'
    return Finding("versions fit", "fail", detail, fix)


def check_library_path(host: Host) -> Finding:
    """Check that no other CUDA comes before the one of the packages."""
    major = find_cuda_major(host)
    for name in host.environ.get("LD_LIBRARY_PATH", "").split(":"):
        folder = Path(name)
        if not name or not folder.is_dir():
            continue
        for path in folder.glob("lib*.so.*"):
            match = re.fullmatch(r"lib(?:cudart|cublas|nvrtc)\.so\.(\d+)", path.name)
            if match and int(match[1]) != major:
                detail = (
                    f"LD_LIBRARY_PATH has {folder} with CUDA {match[1]}, but cuDF was built for "
                    f"CUDA {major}"
                )
                fix = "unset LD_LIBRARY_PATH: the packages do not need it"
                return Finding("library path", "warn", detail, fix)
    return Finding("library path", "ok", "no other CUDA in LD_LIBRARY_PATH")


def check_xgboost(host: Host, probe: Probe) -> Finding:
    """Check that one distribution has the module ``xgboost``, and that the driver runs its CUDA."""
    installed = {name: v for name in XGBOOST_PACKAGES if (v := host.find_version(name))}
    if not installed:
        return Finding("XGBoost", "fail", "not installed", 'pip install ".[cpu]" or ".[gpu]"')
    majors = {n: m for n, v in installed.items() if (m := find_xgboost_cuda(n, v)) is not None}
    detail = ", ".join(f"{n} {v}" for n, v in installed.items() if n in majors or not majors)
    extra = "cpu" if not probe.driver else "gpu" if probe.cuda >= 13000 else "gpu-cu12"
    wanted = choose_xgboost(extra)
    fix = f"pip uninstall -y {' '.join(installed)} && pip install {wanted}"
    major = max(majors.values(), default=0)
    problem = ""
    if not majors:
        problem = " is a stub: it needs xgboost"
    elif len(majors) > 1:
        problem = ": they overwrite each other's files"
    elif probe.gpus and major == 0:
        problem = " has no GPU code, but there is a GPU"
    elif 0 < probe.cuda < major * 1000:
        problem = f": the driver only runs CUDA {cuda_text(probe.cuda)}"
    if problem:
        return Finding("XGBoost", "fail", detail + problem, fix)
    note = " (the GPU build; it trains on the CPU too)" if major and not probe.gpus else ""
    return Finding("XGBoost", "ok", detail + note)


def choose_xgboost(extra: str) -> str:
    """Return the distribution of XGBoost that an extra installs on this Python, with its version.

    Args:
        extra: "cpu", "gpu" or "gpu-cu12".
    """
    is_new = sys.version_info >= (3, 12)  # XGBoost 3.3 and later need it
    by_extra = {"gpu": ("xgboost-cu13", "xgboost"), "gpu-cu12": ("xgboost", "xgboost-cu12")}
    name = by_extra.get(extra, ("xgboost-cpu", "xgboost-cpu"))[is_new]
    return f"{name}=={'3.4' if is_new else '3.2'}.*"


def check_nccl(host: Host) -> list[Finding]:
    """Check that at most one NCCL is installed; no finding without one."""
    installed = {n: v for m in MAJORS if (v := host.find_version(n := f"nvidia-nccl-cu{m}"))}
    detail = ", ".join(f"{n} {v}" for n, v in installed.items())
    # The packages for CUDA 12 and 13 install into the same folder.
    if len(installed) > 1:
        wanted = f"nvidia-nccl-cu{find_cuda_major(host) or 13}"
        extra = next(name for name in installed if name != wanted)
        fix = f"pip uninstall -y {extra} && pip install --force-reinstall --no-deps {wanted}"
        return [Finding("NCCL", "warn", f"{detail}: they overwrite each other's files", fix)]
    return [Finding("NCCL", "ok", detail)] if installed else []


def check_ucx(host: Host) -> Finding:
    """Check the package that ``cluster.gpus.protocol: ucx`` needs."""
    name = f"distributed-ucxx-cu{find_cuda_major(host) or 13}"
    version = host.find_version(name)
    detail = f"{name} {version}" if version else f"{name} is not installed"
    return Finding("UCX", "ok", f"{detail}; only `cluster.gpus.protocol: ucx` needs it")


def list_versions(host: Host, names: Mapping[str, Sequence[str]]) -> str:
    """List the first installed distribution per name: ``cuDF 26.10.2, …``."""
    parts = []
    for shown, distributions in names.items():
        versions = [v for name in distributions if (v := host.find_version(name))]
        parts.append(f"{shown} {versions[0] if versions else '(not installed)'}")
    return ", ".join(parts)
