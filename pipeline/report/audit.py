"""The page's section on the audit: its findings and what each check looked at, as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report import text
from pipeline.report.audit_file import SEVERITIES

Json = dict[str, Any]


def build_section(found: Json, files: Mapping[str, str]) -> Json:
    """What the template shows; empty where the run was not audited, or has changed since.

    Args:
        found: ``audit.json``, checked by its model.
        files: the hashes in the run's manifest.
    """
    if not found:
        return {}
    if any(files.get(name) != value for name, value in found["files"].items()):
        return {}
    names = ("severity", "check", "column", "what", "config")
    findings = [{name: own[name] for name in names} for own in found["findings"]]
    checks = [{"name": own["check"], "said": own["said"]} for own in found["checks"]]
    counts = [f"{sum(f['severity'] == s for f in findings):,} {s}" for s in SEVERITIES]
    summary = f"{', '.join(counts)}; {_rows(found)}"
    return {"findings": findings, "checks": checks, "summary": summary}


def _rows(found: Json) -> str:
    rows, sampled = sum(found["rows"].values()), found["sampled"]
    of = "all" if sampled == rows else text.format_count(sampled)
    return f"{text.format_count(rows)} rows, {of} of them refitted"
