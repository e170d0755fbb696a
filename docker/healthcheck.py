#!/usr/bin/env python3
"""Is the container's main process well? Status 0 or 1.

A scheduler or a worker is asked at ``/health`` of its HTTP server. A run has none that is always
there; it is well for as long as it runs, and its exit status says the rest.
"""

import sys
import urllib.request
from pathlib import Path

SCHEDULER_PORT = "8787"
"""Where `dask scheduler` serves its dashboard when not told otherwise. A worker takes any port."""


def address(arguments: list[str]) -> str | None:
    """Where the process of a command line answers; None: nowhere that is known."""
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
    """Asks the process ``pid``, by default the container's first."""
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
