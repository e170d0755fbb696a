#!/usr/bin/env python3
"""The health check of the container's main process: exit status 0 or 1.

A scheduler or a worker answers at ``/health`` of its HTTP server. A run has no permanent server; it
counts as healthy while it runs, and its exit status reports the result.
"""

import sys
import urllib.request
from pathlib import Path

SCHEDULER_PORT = "8787"
"""The default port of the scheduler's dashboard. A worker takes any port."""


def address(arguments: list[str]) -> str | None:
    """Return the health URL of the process with this command line; None: it has none."""
    if "dask" not in (a.rpartition("/")[2] for a in arguments):
        return None
    if not {"scheduler", "worker"}.intersection(arguments):
        return None
    port = SCHEDULER_PORT if "scheduler" in arguments else None
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, value = argument.partition("=")
        if name == "--dashboard-address":
            port = (value or following).rpartition(":")[2]
    return f"http://127.0.0.1:{port}/health" if port and port != "0" else None


def main(pid: str = "1") -> int:
    """Check the process ``pid``, by default the container's first."""
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    url = address(arguments)
    if url is None:
        return 0
    try:
        with urllib.request.urlopen(url, timeout=8) as answer:
            return int(answer.status != 200)
    except OSError as error:
        sys.stdout.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
