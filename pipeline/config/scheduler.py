"""Addresses of Dask schedulers.

One parser serves the check of a config and the connection, so that both see the same host. A
scheduler can run any code in its clients, so an address on another host must come from the command
line, never from a file.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

LOCAL_KINDS = ("process", "cores", "gpus")
"""Kinds of clusters that this process starts on its own host."""
DEFAULT_PORT = 8786
PATTERN = re.compile(
    r"(?P<protocol>tcp|tls|ucxx?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[\da-fA-F:.]+\])(?::(?P<port>\d{1,5}))?/?",
    re.ASCII,
)
KIND_RULE = "must be process, cores, gpus, an address such as tcp://host:8786, or a scheduler file"


@dataclass(frozen=True)
class Address:
    """The address at which a scheduler listens."""

    protocol: str
    host: str
    """Host name or IP address; IPv6 without its brackets."""
    port: int

    @property
    def is_loopback(self) -> bool:
        """True if only processes on this host can listen at the address."""
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
        ValueError: The text is not such an address.
    """
    match = PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{KIND_RULE}; the protocols are tcp, tls, ucx and ucxx, without user-info"
        )
    host, port = match["host"].strip("[]"), int(match["port"] or DEFAULT_PORT)
    if match["host"].startswith("["):
        ipaddress.IPv6Address(host)  # raises a ValueError of its own
    if not 0 < port < 1 << 16:
        raise ValueError(f"port {port} is not between 1 and 65535")
    return Address(match["protocol"], host, port)


def scheduler_file(kind: str) -> str | None:
    """Return the path of the scheduler file that a cluster's kind names, or None."""
    if kind.startswith("file:"):
        return kind.removeprefix("file:")
    return kind if kind.endswith(".json") and "://" not in kind else None


def check_kind(kind: str) -> str:
    """Check ``cluster.kind`` and return it.

    Raises:
        ValueError: The value is not a kind, an address of a scheduler or a scheduler file.
    """
    if kind not in LOCAL_KINDS and not scheduler_file(kind):
        parse_address(kind)
    return kind


def is_local_kind(kind: str) -> bool:
    """Return whether a cluster's kind keeps the run on this host.

    A scheduler file counts as another host: it is not read here, and may name any host.
    """
    if kind in LOCAL_KINDS:
        return True
    return scheduler_file(kind) is None and parse_address(kind).is_loopback
