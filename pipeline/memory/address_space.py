"""The limit of this process's address space (``ulimit -v``), and the needs of each command.

Libraries map files and reserve stacks and arenas, so a process has several times more addresses
than resident memory. If they run out, an import or the start of a thread fails in unexpected ways,
or a library ends or blocks the process. So a limit that is too small is refused before the
libraries load.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import MachineError

STATUS = Path("/proc/self/status")
MAPPED = 1_420 << 20
"""Bytes of addresses that a run has beyond its resident memory (measured: 1,724 and 308 MB)."""
NEEDED: Mapping[str, int] = {
    "run": 1_800, "parity": 1_800, "bench": 1_800, "audit": 1_800, "predict": 1_300, "plan": 750,
    "init": 650, "runs": 500, "clean": 500, "schema": 500, "report": 300, "doctor": 300,
}  # fmt: skip
"""MB (2^20 bytes) by command: the peak on 2 cores with 2,000 rows, and about 5% more.

`audit` plans the memory of a run.
"""
ALMOST = 96 << 20
"""Bytes that a process needs below its limit to start a thread: an arena and a stack."""


def address_limit() -> int | None:
    """Return the bytes of addresses that this process may have; None without a limit."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def resident_limit() -> int | None:
    """Return the resident bytes for which a run has addresses; None without a limit."""
    most = address_limit()
    return None if most is None else max(most - MAPPED, 0)


def peak_addresses(status: Path = STATUS) -> int:
    """Return the peak bytes of addresses of this process; 0 if the system does not report it."""
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(s.split()[1]) * 1024 for s in lines if s.startswith("VmPeak:")), 0)


def is_used_up() -> bool:
    """Return whether the process came close to its limit of addresses."""
    most = address_limit()
    return most is not None and peak_addresses() > most - ALMOST


def check_limit(command: str) -> None:
    """Refuse a limit that is too small for a command's libraries, unless they are loaded already.

    Raises:
        MachineError: the limit is too small; names it, and what the command needs.
    """
    most, need = address_limit(), NEEDED.get(command, 0) << 20
    if most is not None and most < need and "pandas" not in sys.modules:
        raise MachineError(
            f"the address space is limited to {most / 1e9:.2f} GB (ulimit -v), but `{command}` "
            f"needs {need / 1e9:.2f} GB or more",
            fix="run `ulimit -v unlimited`; memory.host in the config limits resident memory",
        )
