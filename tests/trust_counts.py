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
    "faults injected and survived (one of the tests kills 40 runs)": (
        "tests/end_to_end/test_resume.py tests/end_to_end/test_faults.py tests/end_to_end/test_ladder.py "
        "tests/console/test_signals.py tests/execution/test_stage_keys.py tests/cluster/test_dying_workers.py "
        "tests/cluster/test_lost_context.py -k 'killed or wherever or two_runs or disk or read_only or ends_the_run "
        "or grows or signal_ends or stopped or worker or down or lost or damaged or gone_or_altered'"
    ),
    "bad inputs tried": "tests/bad_input -k 'bad_input_is_refused or odd_environment'",
    "laws checked, each of one op (200 random frames each)": "tests/contract/test_laws.py -k for_many",
    "runs and layouts compared to the bit": "tests/end_to_end/test_same_answers.py",
    "leaks planted and found": (
        "tests/audit/test_audit.py tests/audit/test_audit_hidden.py tests/audit/test_audit_flights.py "
        "-k 'found or entity or wants_a_split or is_dropped or is_a_warning or a_little_fail or together_fail or another_split or only_afterwards or split_of_flights'"
    ),
    "command lines under the audit hook (the generated ones in groups)": "tests/hostile",
    "attacks tried, and what they must leave as it is": (
        "tests/artifacts/test_manifest.py tests/predict/test_without_manifest.py tests/train/test_structure.py tests/ingest/test_no_code.py "
        "tests/artifacts/test_changed_json.py tests/artifacts/test_claimed_sizes.py tests/config/test_scheduler.py tests/config/test_storage_options.py tests/config/test_urls.py tests/train/test_damaged_models.py tests/artifacts/test_appended_files.py tests/ingest/sources/test_http_files.py "
        "tests/ingest/test_sizes.py tests/ingest/test_secrets.py tests/cluster/test_listening.py "
        "tests/predict/test_output.py tests/console/test_terminal.py"
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
    print("| what | tests | `pytest --collect-only -q -o addopts=` |\n|---|---:|---|")
    for what, arguments in KINDS.items():
        print(f"| {what} | {collected(arguments):,} | `{arguments}` |")


if __name__ == "__main__":
    main()
