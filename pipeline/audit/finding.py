"""A finding of the audit: how grave it is, what was measured, and the line of config against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.report.audit_file import SEVERITIES, Severity

__all__ = ["Finding", "Severity", "by_severity"]


@dataclass(frozen=True)
class Finding:
    """Something that one check found."""

    check: str
    severity: Severity
    """``fail``: the metrics cannot be believed. ``warn``: look at it. ``info``: good to know."""
    column: str
    """Of the data, or of the models' matrix; empty where it is about none."""
    what: str
    """A sentence without its full stop."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""
    config: str = ""
    """YAML, as `pipeline.audit.suggestion` explains; empty where no config helps."""

    @property
    def name(self) -> str:
        """What ``--accept`` calls it: ``alone:dep_delay``, or just the check."""
        return f"{self.check}:{self.column}" if self.column else self.check


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first, otherwise in the order given."""
    return sorted(findings, key=lambda f: SEVERITIES.index(f.severity))
