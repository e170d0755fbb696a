"""Counts what docs/trust.md sums up at its top: ``python tests/trust_counts.py`` prints its table.

A count is that of the tests that pytest collects, slow ones too; nothing is run.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

KINDS = {
    "faults injected and survived: kills, signals, full disks, files that vanish or grow, workers that die": (
        "tests/end_to_end/test_resume.py tests/end_to_end/test_faults.py tests/test_signals.py "
        "tests/cluster/test_dying_workers.py -k 'not another_config and not reader'"
    ),
    "bad inputs tried: configs, data, run folders, commands, environments": (
        "tests/bad_input -k 'bad_input_is_refused or odd_environment'"
    ),
    "laws checked, each of one op": "tests/contract/test_laws.py -k for_many",
    "layouts and runs compared to the bit": "tests/end_to_end/test_same_answers.py",
    "leaks planted and found": (
        "tests/tools/test_audit.py tests/tools/test_audit_flights.py -k "
        "'is_found or are_found or together_fail or another_split or only_afterwards or split_of_flights'"
    ),
    "attacks tried: altered folders, damaged models, code, sizes, escapes, secrets, listeners": (
        "tests/test_sealed.py tests/predict/test_trial.py tests/ingest/test_no_code.py "
        "tests/ingest/test_sizes.py tests/ingest/test_secrets.py tests/cluster/test_listening.py "
        "tests/predict/test_output.py tests/test_terminal.py"
    ),
}


def collected(arguments):
    """How many tests pytest finds with these arguments, whatever their marks."""
    command = [sys.executable, *["-m", "pytest", "--collect-only", "-q", "-o", "addopts="]]
    done = subprocess.run(
        [*command, *shlex.split(arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return sum(line.startswith("tests/") and "::" in line for line in done.stdout.splitlines())


def main():
    """Prints a line of Markdown for each kind."""
    print("| what | tests | `pytest -m 'slow or not slow'` |\n|---|---:|---|")
    for what, arguments in KINDS.items():
        print(f"| {what} | {collected(arguments):,} | `{arguments}` |")


if __name__ == "__main__":
    main()
