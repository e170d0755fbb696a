"""A finding of the examination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    check: str
    status: Status
    detail: str
    fix: str = ""
    """The command or setting that fixes the problem; empty if the status is ``ok``."""


def format_gib(size: int) -> str:
    """Format bytes: ``1.5 GiB``."""
    return f"{size / GIB:.1f} GiB"
