"""Runs command lines in one process and says how they ended, and how much memory they took."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from pathlib import Path

LIMIT = 3 << 30
"""Bytes of addresses: what would take more of them ends with status 3, and harms nobody."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    from pipeline.__main__ import run_command_line

    for line in json.load(sys.stdin):
        begun = time.perf_counter()
        status = run_command_line(line)
        # not ru_maxrss: Linux hands the mark of pytest's process on to those it starts
        memory = Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", memory)[1]) * 1024
        seconds = time.perf_counter() - begun
        sys.stderr.write(json.dumps({"ended": [status, peak, seconds]}) + "\n")


if __name__ == "__main__":
    main()
