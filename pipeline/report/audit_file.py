"""Required content of ``audit.json`` (`pipeline.tools.audit` writes it)."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import TypeAdapter

from pipeline.artifacts.manifest_model import SetName
from pipeline.config.stored import Count, Plain, Positive, StoredObject

Severity = Literal["fail", "warn", "info"]
SEVERITIES: tuple[Severity, ...] = ("fail", "warn", "info")
"""From the gravest on."""


class StoredFinding(StoredObject):
    """A finding."""

    name: str
    check: str
    severity: Severity
    column: str
    what: str
    measured: dict[str, Plain]
    config: str


class StoredCheck(StoredObject):
    """A check, and what it looked at."""

    check: str
    said: str
    measured: dict[str, Plain]


class AuditFile(StoredObject):
    """What ``audit.json`` holds."""

    format: Literal[1]
    run: str
    files: dict[str, str]
    passed: bool
    accepted: list[str]
    rows: dict[SetName, Count]
    sampled: Count
    findings: list[StoredFinding]
    checks: list[StoredCheck]
    seconds: Positive


@cache
def get_audit_adapter() -> TypeAdapter[AuditFile]:
    """Return what checks an ``audit.json``."""
    return TypeAdapter(AuditFile)
