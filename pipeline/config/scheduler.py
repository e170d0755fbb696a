"""The address of a Dask scheduler: one parser for what is checked and what is connected to.

A scheduler can run any code in its clients, so an address on another host must come from the
command line, never from a file.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

LOCAL_KINDS = ("process", "cores", "gpus")
"""Kinds of a cluster that this process starts."""
DEFAULT_PORT = 8786
PATTERN = re.compile(
    r"(?P<protocol>tcp|tls|ucxx?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[\da-fA-F:.]+\])(?::(?P<port>\d{1,5}))?/?",
    re.ASCII,
)
WRONG = "must be process, cores, gpus, an address such as tcp://host:8786, or a scheduler file"


@dataclass(frozen=True)
class Address:
    """Where a scheduler listens."""

    protocol: str
    host: str
    """Without the brackets of IPv6."""
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this host can answer there."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}://{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Parse the address of a scheduler: ``tcp``, ``tls``, ``ucx`` or ``ucxx``, no user-info.

    Raises:
        ValueError: it is not such an address.
    """
    match = PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{WRONG}; the protocols are tcp, tls, ucx and ucxx, without user-info")
    host, port = match["host"].strip("[]"), int(match["port"] or DEFAULT_PORT)
    if match["host"].startswith("["):
        ipaddress.IPv6Address(host)  # raises a ValueError of its own
    if not 0 < port < 1 << 16:
        raise ValueError(f"port {port} is not between 1 and 65535")
    return Address(match["protocol"], host, port)


def scheduler_file(kind: str) -> str | None:
    """The path of a scheduler file that a cluster's kind names; None if it names none."""
    if kind.startswith("file:"):
        return kind.removeprefix("file:")
    return kind if kind.endswith(".json") and "://" not in kind else None


def check_kind(kind: str) -> str:
    """Check ``cluster.kind``; returns it.

    Raises:
        ValueError: it is neither a kind, a scheduler's address nor a scheduler file.
    """
    if kind not in LOCAL_KINDS and not scheduler_file(kind):
        parse_address(kind)
    return kind


def is_local_kind(kind: str) -> bool:
    """Whether a cluster's kind keeps the run on this host.

    A scheduler file may name any host, and is not read to find out.
    """
    if kind in LOCAL_KINDS:
        return True
    return scheduler_file(kind) is None and parse_address(kind).is_loopback
