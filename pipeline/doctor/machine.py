"""Checks of the machine without its GPUs: interpreter, cores, memory, limits, disk and ports."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from pathlib import Path

from pipeline.doctor.finding import GIB, Finding, format_gib
from pipeline.doctor.limits import Limits

PYTHONS = ((3, 11), (3, 13))
"""The oldest and the newest version that is tested."""
SMALL_MEMORY, SMALL_DISK, SMALL_SHM = 4 * GIB, 5 * GIB, 2**30
FEW_PROCESSES, FEW_FILES = 256, 1024
DASHBOARD, SCHEDULER = 8787, 8786


def examine_machine(folder: Path, limits: Limits, gpus: int) -> list[Finding]:
    """Run all checks of this module.

    Args:
        folder: the folder where runs are written.
        limits: the limits of this process.
        gpus: number of GPUs that can be used.
    """
    return [
        check_python(),
        check_system(),
        check_cores(),
        check_memory(limits),
        check_limits(limits),
        check_disk(folder),
        check_shared_memory(gpus),
        check_dashboard_port(),
        check_scheduler_port(),
    ]


def check_python() -> Finding:
    """Check that the interpreter is a tested version."""
    current, (oldest, newest) = sys.version_info[:2], PYTHONS
    detail = f"{platform.python_version()}, {sys.executable}"
    if oldest <= current <= newest:
        return Finding("Python", "ok", detail)
    wanted = f"{oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}"
    return Finding("Python", "fail", detail, f"use Python {wanted}")


def check_system() -> Finding:
    """Check that the operating system has wheels of all dependencies."""
    detail = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if platform.system() == "Windows":
        return Finding("system", "fail", detail, "run it in WSL (wsl --install)")
    return Finding("system", "ok", detail)


def check_cores() -> Finding:
    """Count the cores that this process may use."""
    from dask.system import CPU_COUNT

    usable, total = int(CPU_COUNT), os.cpu_count() or 1
    limited = f" of the machine's {total} (affinity or container limit)" if usable < total else ""
    return Finding("cores", "ok", f"{usable}{limited}")


def check_memory(limits: Limits) -> Finding:
    """Check the memory that this process may use."""
    import psutil

    machine, limit = psutil.virtual_memory(), get_memory_limit(limits)
    # Other containers may have taken what this one's limit allows.
    free = min(limit - (limits.memory_used or 0), int(machine.available))
    detail = f"{format_gib(limit)}, {format_gib(free)} of it free"
    if limit < machine.total:
        detail += f" (container limit; the machine has {format_gib(machine.total)})"
    if free < SMALL_MEMORY:
        fix = "close programs or raise the container's limit, unless the data are small"
        return Finding("memory", "warn", detail, fix)
    return Finding("memory", "ok", detail)


def get_memory_limit(limits: Limits) -> int:
    """Return the bytes that this process may use: the machine's, or the container's."""
    from distributed.system import MEMORY_LIMIT

    return min(int(MEMORY_LIMIT), limits.memory or int(MEMORY_LIMIT))


def check_limits(limits: Limits) -> Finding:
    """Check the processes, threads and files that the container or the session allows."""
    texts = {
        "{:g} cores": limits.cores,
        "{:,} processes and threads": limits.processes,
        "{:,} open files": limits.files,
    }
    listed = ", ".join(text.format(n) for text, n in texts.items() if n is not None)
    detail = f"at most {listed}" if listed else "no limit of a container or a session"
    if limits.processes is not None:
        left = limits.processes - (limits.processes_used or 0)
        if left < FEW_PROCESSES:
            detail += f"; {max(left, 0):,} processes and threads are left"
            fix = "docker run --pids-limit=-1 (systemd: TasksMax; Kubernetes: podPidsLimit)"
            return Finding("limits", "warn", detail, fix)
    if limits.files is not None and limits.files < FEW_FILES:
        fix = "ulimit -n 65536 (docker run --ulimit nofile=65536)"
        return Finding("limits", "warn", detail, fix)
    return Finding("limits", "ok", detail)


def check_disk(folder: Path) -> Finding:
    """Check the space for run folders, and the permission to write them."""
    # The folder is created by the first run: until then its nearest parent counts.
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    detail = f"{format_gib(free)} free for {folder}"
    if not os.access(existing, os.W_OK):
        return Finding("disk", "fail", f"{existing} is not writable", "use --out FOLDER elsewhere")
    if free < SMALL_DISK:
        return Finding("disk", "warn", detail, "free some space, or use --out on another disk")
    return Finding("disk", "ok", detail)


def check_shared_memory(gpus: int = 0, path: Path = Path("/dev/shm")) -> Finding:
    """Check the memory that NCCL and worker processes share; containers have 64 MB by default."""
    if not path.exists():
        return Finding("shared memory", "ok", f"no {path} on this system; one process needs none")
    size = shutil.disk_usage(path).total
    if size < SMALL_SHM:
        user = "NCCL between the GPUs needs it" if gpus > 1 else "only clusters here need it"
        fix = f"docker run --shm-size=1g, or --ipc=host ({user})"
        return Finding("shared memory", "warn", f"{path} has {format_gib(size)}", fix)
    return Finding("shared memory", "ok", f"{path} has {format_gib(size)}")


def check_dashboard_port(number: int = DASHBOARD) -> Finding:
    """Check that the dashboard's port is free."""
    if _is_free(number):
        return Finding("dashboard", "ok", f"port {number} is free")
    detail = f"port {number} is in use: the dashboard will use another, printed when a run starts"
    return Finding("dashboard", "warn", detail, "pass --no-dashboard to run without it")


def check_scheduler_port(number: int = SCHEDULER) -> Finding:
    """Check the port of a scheduler that users start; runs on this host alone do not need it."""
    if _is_free(number):
        return Finding("scheduler", "ok", f"port {number} is free for a `dask scheduler`")
    detail = f"port {number} is in use, perhaps by a Dask scheduler: --cluster tcp://HOST:{number}"
    return Finding("scheduler", "ok", detail)


def _is_free(number: int) -> bool:
    with socket.socket() as probe:
        # A port that was closed a moment ago counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True
