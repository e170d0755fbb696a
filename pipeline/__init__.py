"""Large tables to trained models: one YAML, on a laptop's CPU, a GPU or a cluster.

    from pipeline import Config, run, Scorer

Names are imported when first used, so that ``import pipeline`` costs nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

# Before pyarrow is imported: its own default (mimalloc) keeps what was freed. Peaks of whole runs
# were 5 to 8 % higher with it, processor time the same (docs/scaling.md).
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

__version__ = "0.1.0"
__all__ = ["Config", "Scorer", "__version__", "run"]

_HOMES = {
    "Config": "pipeline.config.model",
    "Scorer": "pipeline.predict.scorer",
    "run": "pipeline.execution.runner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
