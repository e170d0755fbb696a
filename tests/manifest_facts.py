"""What the manifest of a finished run says, for tests that make up a run folder."""

from __future__ import annotations

from typing import Any


def manifest_facts(**changes: Any) -> dict[str, Any]:
    """All keys but ``files``, with these values changed."""
    return {
        "format": 1, "pipeline": "0", "name": "x", "task": "binary", "why": "two values",
        "target": "y", "classes": ["no", "yes"], "models": ["xgboost"], "best": "xgboost",
        "refit": False, "rows": {"train": 7, "valid": 1, "test": 2}, "device": "cpu",
        "fallbacks": [], "seed": 0, "keys": {}, "versions": {}, "inputs": [], "warnings": [],
        **changes,
    }  # fmt: skip
