"""The command `doctor`: a check of this machine."""

from __future__ import annotations

from pipeline.cli.options import JsonOption, print_json
from pipeline.cli.usage import list_examples

EXAMPLES = list_examples("doctor", "doctor --json")


def doctor(as_json: JsonOption = False) -> None:
    """Check this machine and suggest a fix for each problem."""
    from pipeline.cli.summary import print_findings
    from pipeline.doctor.examine import examine, to_json

    findings = examine()
    if as_json:
        print_json(to_json(findings))
    else:
        print_findings(findings)
