"""Suggested lines of config: YAML that the config accepts.

A line that begins with ``-`` is appended to ``features:``; any other line replaces the key of the
config that it begins with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pipeline.config.model import Split
from pipeline.features.op import Op
from pipeline.features.registry import dump_op


def suggest_drop(names: Sequence[str], chosen_ops: Sequence[Op] | None) -> str:
    """Suggest the line that removes columns from the models' matrix.

    Args:
        names: columns of the matrix.
        chosen_ops: the automatically chosen ops if the config has no ``features:``, else None.
    """
    drop = {"drop": list(names)}
    if chosen_ops is None:
        return f"- drop: {_to_yaml_line(drop['drop'])}"
    # A config with ``features:`` has no automatic ops: they must be listed before the drop.
    entries: list[dict[str, Any]] = []
    for op in chosen_ops:
        ((name, parameters),) = dump_op(op).items()
        # Without defaults, and with its columns as a plain list, an entry reads as users write it.
        given = op.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        shortened = {k: v for k, v in parameters.items() if k in given}
        columns = shortened.get("columns")
        if isinstance(columns, Mapping) and set(columns) == {"all", "but"} and not columns["but"]:
            shortened["columns"] = columns["all"]
        entries.append({name: shortened})
    return "features: " + _to_yaml_line([*entries, drop])


def suggest_split(split: Split, by: str, column: str) -> str:
    """Suggest a split by the time or the group in a column, with the same shares of rows."""
    shares = {"valid": split.valid, "test": split.test}
    return "split: " + _to_yaml_line({"by": by, "column": column, **shares})


def _to_yaml_line(value: Any) -> str:
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf
    ).removesuffix("\n")
    # YAML needs several lines for a name with a line break; JSON, which is YAML too, needs one.
    return text if "\n" not in text else json.dumps(value, ensure_ascii=False)
