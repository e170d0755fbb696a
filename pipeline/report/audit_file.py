"""Model of ``audit.json``, which `pipeline.audit.runner` writes."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import ConfigDict, Field, TypeAdapter

from pipeline.artifacts.manifest_model import SetName
from pipeline.config.stored import Count, Plain, Positive, StoredObject

Severity = Literal["fail", "warn", "info"]
SEVERITIES: tuple[Severity, ...] = ("fail", "warn", "info")
"""In descending order of severity."""


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
    """A check and its result."""

    # The page reads the stored key, so the name of the field must not stand for it.
    model_config = ConfigDict(populate_by_name=False)

    check: str
    summary: str = Field(alias="said")
    measured: dict[str, Plain]


class AuditFile(StoredObject):
    """Content of ``audit.json``."""

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
    """Return the validator of ``audit.json``."""
    return TypeAdapter(AuditFile)
