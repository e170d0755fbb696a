"""The machine without its GPUs: interpreter, cores, memory, limits, disk, ports."""

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
"""The oldest and the newest that are tested."""
SMALL_MEMORY, SMALL_DISK, SMALL_SHM = 4 * GIB, 5 * GIB, 2**30
FEW_PROCESSES, FEW_FILES = 256, 1024
DASHBOARD, SCHEDULER = 8787, 8786


def examine_machine(folder: Path, limits: Limits, gpus: int) -> list[Finding]:
    """Everything here; ``folder`` is where runs are written, ``gpus`` how many can be used."""
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
    """The interpreter is one that is tested."""
    ours, (oldest, newest) = sys.version_info[:2], PYTHONS
    detail = f"{platform.python_version()}, {sys.executable}"
    if oldest <= ours <= newest:
        return Finding("Python", "ok", detail)
    wanted = f"{oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}"
    return Finding("Python", "fail", detail, f"use Python {wanted}")


def check_system() -> Finding:
    """The operating system has wheels of everything."""
    detail = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if platform.system() == "Windows":
        return Finding("system", "fail", detail, "run it in WSL (wsl --install)")
    return Finding("system", "ok", detail)


def check_cores() -> Finding:
    """Cores that this process may use."""
    from dask.system import CPU_COUNT

    usable, all_ = int(CPU_COUNT), os.cpu_count() or 1
    limited = f" of the machine's {all_} (affinity or container limit)" if usable < all_ else ""
    return Finding("cores", "ok", f"{usable}{limited}")


def check_memory(limits: Limits) -> Finding:
    """Memory that this process may use."""
    import psutil

    machine, limit = psutil.virtual_memory(), get_memory_limit(limits)
    free = min(limit - (limits.memory_used or 0), int(machine.available))
    detail = f"{format_gib(limit)}, {format_gib(free)} of it free"
    if limit < machine.total:
        detail += f" (container limit; the machine has {format_gib(machine.total)})"
    if free < SMALL_MEMORY:
        fix = "fine for small data; for more, close programs or raise the container's limit"
        return Finding("memory", "warn", detail, fix)
    return Finding("memory", "ok", detail)


def get_memory_limit(limits: Limits) -> int:
    """Bytes that this process may use: the machine's, or the container's."""
    from distributed.system import MEMORY_LIMIT

    return min(int(MEMORY_LIMIT), limits.memory or int(MEMORY_LIMIT))


def check_limits(limits: Limits) -> Finding:
    """Processes, threads and files that the container or the session allows."""
    known = {
        "{:g} cores": limits.cores,
        "{:,} processes and threads": limits.processes,
        "{:,} open files": limits.files,
    }
    said = ", ".join(text.format(n) for text, n in known.items() if n is not None)
    detail = f"at most {said}" if said else "none of a container or a session"
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
    """Room for run folders, and the right to write them."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    detail = f"{format_gib(free)} free for {folder}"
    if not os.access(there, os.W_OK):
        return Finding("disk", "fail", f"{there} is not writable", "use --out FOLDER elsewhere")
    if free < SMALL_DISK:
        return Finding("disk", "warn", detail, "free some space, or use --out on another disk")
    return Finding("disk", "ok", detail)


def check_shared_memory(gpus: int = 0, path: Path = Path("/dev/shm")) -> Finding:
    """What NCCL and worker processes share; containers give 64 MB by default."""
    if not path.exists():
        return Finding("shared memory", "ok", f"no {path} on this system; one process needs none")
    size = shutil.disk_usage(path).total
    if size < SMALL_SHM:
        whom = "NCCL between the GPUs needs it" if gpus > 1 else "only clusters here need it"
        fix = f"docker run --shm-size=1g, or --ipc=host ({whom})"
        return Finding("shared memory", "warn", f"{path} has {format_gib(size)}", fix)
    return Finding("shared memory", "ok", f"{path} has {format_gib(size)}")


def check_dashboard_port(number: int = DASHBOARD) -> Finding:
    """The dashboard's port is free."""
    if _free(number):
        return Finding("dashboard", "ok", f"port {number} is free")
    detail = f"port {number} is taken: the dashboard will use another, printed at the start"
    return Finding("dashboard", "warn", detail, "--no-dashboard does without one")


def check_scheduler_port(number: int = SCHEDULER) -> Finding:
    """The port of a scheduler that one starts oneself; runs of this host need none."""
    if _free(number):
        return Finding("scheduler", "ok", f"port {number} is free for a `dask scheduler`")
    detail = f"port {number} is taken, perhaps by a Dask scheduler: --cluster tcp://HOST:{number}"
    return Finding("scheduler", "ok", detail)


def _free(number: int) -> bool:
    with socket.socket() as probed:
        probed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probed.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True
