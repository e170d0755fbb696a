"""Limits of this process: those of its cgroup (a container's) and of its session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Limits:
    """Limits of a process; None: there is no limit, or it cannot be read."""

    memory: int | None = None
    """Bytes."""
    memory_used: int | None = None
    """Bytes, without the file cache, which the kernel frees when memory is needed."""
    cores: float | None = None
    processes: int | None = None
    """Maximum number of processes, with their threads."""
    processes_used: int | None = None
    files: int | None = None
    """Maximum number of open files of a process."""


def read_limits(root: Path = ROOT, group_file: Path = OWN_GROUP) -> Limits:
    """Read the tightest limits of this process's cgroups (version 2 or 1) and of its session."""
    is_version_2 = (root / "cgroup.controllers").exists()
    return _read_version_2(root, group_file) if is_version_2 else _read_version_1(root)


def _read_open_files() -> int | None:
    try:
        import resource
    except ImportError:
        # Windows has no such module, and no such limit.
        return None
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if files == resource.RLIM_INFINITY else files


def _read_version_2(root: Path, group_file: Path) -> Limits:
    lines = group_file.read_text().splitlines() if group_file.exists() else []
    path = next((line[3:] for line in lines if line.startswith("0::")), "/")
    group = root / path.strip("/")
    # Inside a container, the container's own group is the root.
    group = group if group.is_dir() else root
    # A limit of any group above applies too.
    groups = [group, *(p for p in group.parents if p == root or root in p.parents)]
    memory, processes = (_find_tightest(groups, name) for name in ("memory.max", "pids.max"))
    used = _read_number(memory[1] / "memory.current") if memory else None
    cache = _read_entry(memory[1] / "memory.stat", "inactive_file") if memory else 0
    cores = [quota for g in groups if (quota := _to_cores(_read_text(g / "cpu.max").split()))]
    return Limits(
        memory=memory and memory[0],
        memory_used=None if used is None else used - cache,
        cores=min(cores, default=None),
        processes=processes and processes[0],
        processes_used=processes and _read_number(processes[1] / "pids.current"),
        files=_read_open_files(),
    )


def _read_version_1(root: Path) -> Limits:
    memory = _read_number(root / "memory" / "memory.limit_in_bytes")
    # "No limit" is the largest number that is a multiple of a page.
    if memory is not None and memory >= 2**60:
        memory = None
    used = _read_number(root / "memory" / "memory.usage_in_bytes")
    cache = _read_entry(root / "memory" / "memory.stat", "total_inactive_file")
    quota = [str(_read_number(root / "cpu" / f"cpu.cfs_{n}_us")) for n in ("quota", "period")]
    return Limits(
        memory=memory,
        memory_used=None if memory is None or used is None else used - cache,
        cores=_to_cores(quota),
        processes=_read_number(root / "pids" / "pids.max"),
        processes_used=_read_number(root / "pids" / "pids.current"),
        files=_read_open_files(),
    )


def _find_tightest(groups: list[Path], name: str) -> tuple[int, Path] | None:
    """Return the lowest limit and its group."""
    limits = [(limit, g) for g in groups if (limit := _read_number(g / name)) is not None]
    return min(limits, default=None)


def _to_cores(quota: list[str]) -> float | None:
    """Convert quota and period to cores: 1.5 for ``["150000", "100000"]``.

    Without a quota, the file holds "max" (version 2) or -1 (version 1).
    """
    if len(quota) != 2 or not all(number.isdecimal() for number in quota) or quota[1] == "0":
        return None
    return int(quota[0]) / int(quota[1])


def _read_entry(path: Path, name: str) -> int:
    """Return the number of a line ``name number`` of a file; 0 without one."""
    for line in _read_text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _read_number(path: Path) -> int | None:
    """Return the number in a file; None for "max", and if there is no such file."""
    text = _read_text(path).strip()
    return int(text) if text.lstrip("-").isdecimal() else None


def _read_text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
