"""A finding of the audit: its severity, what was measured, and the line of config that fixes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.report.audit_file import SEVERITIES, Severity

__all__ = ["Finding", "Severity", "sort_by_severity"]


@dataclass(frozen=True)
class Finding:
    """A problem that a check found."""

    check: str
    severity: Severity
    """``fail``: the metrics cannot be trusted. ``warn``: inspect it. ``info``: worth knowing."""
    column: str
    """Column of the data or of the models' matrix; empty if the finding is not about a column."""
    what: str
    """A sentence without its full stop."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""
    config: str = ""
    """YAML, see `pipeline.audit.suggestion`; empty if no config fixes it."""

    @property
    def name(self) -> str:
        """Name for ``--accept``: ``alone:dep_delay``, or the check's name without a column."""
        return f"{self.check}:{self.column}" if self.column else self.check


def sort_by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by severity, ``fail`` first; the order is otherwise kept."""
    return sorted(findings, key=lambda f: SEVERITIES.index(f.severity))
