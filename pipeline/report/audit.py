"""The page's section on the audit: its findings and the result of each check, as plain text."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.report import text
from pipeline.report.audit_file import SEVERITIES
from pipeline.report.text import JsonObject


def build_section(audit: JsonObject, files: Mapping[str, str]) -> JsonObject:
    """Return the values for the template; empty without an audit of the run as it is now.

    Args:
        audit: ``audit.json``, checked by its model; empty without one.
        files: the hashes in the run's manifest.
    """
    # A resumed run has another config or plan: findings about the old one would mislead.
    if not audit or any(files.get(name) != value for name, value in audit["files"].items()):
        return {}
    names = ("severity", "check", "column", "what", "config")
    findings = [{name: finding[name] for name in names} for finding in audit["findings"]]
    checks = [{"name": check["check"], "summary": check["said"]} for check in audit["checks"]]
    counts = [f"{sum(f['severity'] == s for f in findings):,} {s}" for s in SEVERITIES]
    rows, sampled = sum(audit["rows"].values()), audit["sampled"]
    refitted = "all" if sampled == rows else text.format_count(sampled)
    summary = (
        f"{', '.join(counts)}; {text.format_count(rows)} rows, features refitted on {refitted}"
    )
    return {"findings": findings, "checks": checks, "summary": summary}
