"""The page's section on the audit: its findings and what each check looked at, as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import InputError
from pipeline.evaluate.audit.finding import GRAVE
from pipeline.report import text

Json = dict[str, Any]


def section(found: Json, files: Mapping[str, str]) -> Json:
    """What the template shows; empty where the run was not audited, or has changed since.

    Args:
        found: ``audit.json``.
        files: the hashes in the run's manifest.

    Raises:
        InputError: the file is none that `audit` wrote.
    """
    if not found:
        return {}
    try:
        if any(files.get(str(name)) != value for name, value in found["files"].items()):
            return {}
        findings = [_finding(f) for f in found["findings"]]
        checks = [{"name": str(c["check"]), "said": str(c["said"])} for c in found["checks"]]
        counts = [f"{sum(f['severity'] == s for f in findings):,} {s}" for s in GRAVE]
        summary = f"{', '.join(counts)}; {_rows(found)}"
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            "audit.json is not what `audit` wrote", fix="run `python -m pipeline audit` again"
        ) from None
    return {"findings": findings, "checks": checks, "summary": summary}


def _finding(found: Json) -> Json:
    names = ("severity", "check", "column", "what", "config")
    shown = {name: str(found[name]) for name in names}
    if shown["severity"] not in GRAVE:
        raise ValueError(shown["severity"])
    return shown


def _rows(found: Json) -> str:
    rows, sampled = sum(int(n) for n in found["rows"].values()), int(found["sampled"])
    of = "all" if sampled == rows else text.count(sampled)
    return f"{text.count(rows)} rows, {of} of them refitted"
