"""The address space that this process may have (``ulimit -v``), and what a command needs of it.

Libraries map files and reserve stacks and arenas, so a process has several times more addresses
than resident memory. Where they run out, an import or the start of a thread fails in any way, or a
library ends or blocks the process. So what is too little is refused before the libraries load.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import MachineError

STATUS = Path("/proc/self/status")
MAPPED = 1_420 << 20
"""Bytes of addresses that a run has beyond its resident memory: 1,724 MB and 308 MB."""
NEEDED: Mapping[str, int] = {
    "run": 1_800, "parity": 1_800, "bench": 1_800, "audit": 1_800, "predict": 1_300, "plan": 750,
    "init": 650, "runs": 500, "clean": 500, "schema": 500, "report": 300, "doctor": 300,
}  # fmt: skip
"""MB (2^20 bytes) by command: its peak on 2 cores with 2,000 rows, and about a twentieth more.
`audit` plans a run's memory."""
ALMOST = 96 << 20
"""Bytes below its limit from which on a process cannot start a thread: an arena and a stack."""


def address_limit() -> int | None:
    """Bytes of addresses that this process may have; None: no limit."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    own = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if own == resource.RLIM_INFINITY else own


def resident_limit() -> int | None:
    """Bytes of resident memory for which a run has addresses; None: no limit."""
    most = address_limit()
    return None if most is None else max(most - MAPPED, 0)


def peak_addresses(status: Path = STATUS) -> int:
    """Bytes of addresses that this process had at most; 0 where the system does not say."""
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(s.split()[1]) * 1024 for s in lines if s.startswith("VmPeak:")), 0)


def is_used_up() -> bool:
    """Whether the process had almost all addresses that it may have."""
    most = address_limit()
    return most is not None and peak_addresses() > most - ALMOST


def check_limit(command: str) -> None:
    """Refuse a limit that is too small for the libraries of a command, if they are not loaded yet.

    Raises:
        MachineError: names the limit, and what the command needs.
    """
    most, need = address_limit(), NEEDED.get(command, 0) << 20
    if most is not None and most < need and "pandas" not in sys.modules:
        raise MachineError(
            f"the address space is limited to {most / 1e9:.2f} GB (ulimit -v), `{command}` needs "
            f"{need / 1e9:.2f} GB or more",
            fix="ulimit -v unlimited; memory.host in the config bounds resident memory",
        )
