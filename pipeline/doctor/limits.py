"""What this process may use: the limits of its cgroup (a container's) and of its session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Limits:
    """None: no limit, or none that is told."""

    memory: int | None = None
    """Bytes; ``memory_used`` without the file cache, which is given back when it is needed."""
    memory_used: int | None = None
    cores: float | None = None
    processes: int | None = None
    """With their threads; ``processes_used`` are there already."""
    processes_used: int | None = None
    files: int | None = None
    """Open files of a process."""


def read_limits(root: Path = ROOT, own: Path = OWN) -> Limits:
    """The tightest limits of this process' cgroups (version 2, or 1), and of its session."""
    found = _version_2(root, own) if (root / "cgroup.controllers").exists() else _version_1(root)
    return Limits(*found, _open_files())


def _open_files() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if files == resource.RLIM_INFINITY else files


Found = tuple[int | None, int | None, float | None, int | None, int | None]
"""Memory and how much is used, cores, processes and how many there are."""


def _version_2(root: Path, own: Path) -> Found:
    groups = _groups(root, own)
    memory = _tightest(groups, "memory.max")
    cores = [found for group in groups if (found := _quota(_words(group / "cpu.max")))]
    processes = _tightest(groups, "pids.max")
    cache = _stated(memory[1] / "memory.stat", "inactive_file") if memory else 0
    used = _number(memory[1] / "memory.current") if memory else None
    return (
        memory and memory[0], None if used is None else used - cache, min(cores, default=None),
        processes and processes[0], processes and _number(processes[1] / "pids.current"),
    )  # fmt: skip


def _groups(root: Path, own: Path) -> list[Path]:
    """The group of this process and those above it."""
    lines = own.read_text().splitlines() if own.exists() else []
    path = next((line[3:] for line in lines if line.startswith("0::")), "/")
    group = root / path.strip("/")
    group = group if group.is_dir() else root  # a container sees its own group as the root
    return [group, *(p for p in group.parents if p == root or root in p.parents)]


def _version_1(root: Path) -> Found:
    memory = _number(root / "memory" / "memory.limit_in_bytes")
    if memory is not None and memory >= 2**60:  # "no limit" is the largest page-aligned number
        memory = None
    used = _number(root / "memory" / "memory.usage_in_bytes")
    cache = _stated(root / "memory" / "memory.stat", "total_inactive_file")
    quota = [str(_number(root / "cpu" / f"cpu.cfs_{n}_us")) for n in ("quota", "period")]
    return (
        memory, None if memory is None or used is None else used - cache, _quota(quota),
        _number(root / "pids" / "pids.max"), _number(root / "pids" / "pids.current"),
    )  # fmt: skip


def _tightest(groups: list[Path], name: str) -> tuple[int, Path] | None:
    found = [(limit, group) for group in groups if (limit := _number(group / name)) is not None]
    return min(found, default=None)


def _quota(words: list[str]) -> float | None:
    """Cores of ``["150000", "100000"]``; no quota is "max" or -1."""
    if len(words) != 2 or not all(word.isdecimal() for word in words) or words[1] == "0":
        return None
    return int(words[0]) / int(words[1])


def _stated(path: Path, name: str) -> int:
    """A line ``name number`` of a file; 0 where there is none."""
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    """None for "max", and where there is no such file."""
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdecimal() else None


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
