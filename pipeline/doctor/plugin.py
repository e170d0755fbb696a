"""The examination as a check of `rapids doctor` (rapids-cli): entry point ``rapids_doctor_check``.

rapids-cli calls a check with ``verbose`` and keywords of its own (``gpu_info`` before April 2026).
It shows the first line of the docstring, treats an exception as a failure, and shows warnings.
"""

from __future__ import annotations

import warnings
from typing import Any

from pipeline.doctor.examine import Finding, examine, summarize_findings
from pipeline.errors import FIX_LABEL, MachineError


# Keywords differ between versions of rapids-cli, so unknown ones are ignored.
def pipeline_check(verbose: bool = False, **_: Any) -> str:
    """Check that pipeline's runs work on this machine, and on which device.

    Raises:
        MachineError: a check fails; the message names each failed check and its fix.
    """
    findings = summarize_findings(examine())
    for finding in findings:
        if finding.status == "warn":
            warnings.warn(_format_line(finding), stacklevel=2)
    if failed := [_format_line(f) for f in findings if f.status == "fail"]:
        raise MachineError("\n  ".join(failed))
    return "\n".join(map(_format_line, findings)) if verbose else findings[-1].detail


def _format_line(finding: Finding) -> str:
    fix = f". {FIX_LABEL} {finding.fix}" if finding.fix else ""
    return f"{finding.check}: {finding.detail}{fix}"
