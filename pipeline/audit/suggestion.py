"""Proposed lines of config: YAML that the config accepts.

A line that begins with ``-`` goes to the end of ``features:``; any other is a key of the config,
in whose place it stands.
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


def without(names: Sequence[str], chosen: Sequence[Op] | None) -> str:
    """Takes columns away from the models.

    Args:
        names: of the models' matrix.
        chosen: the ops that were chosen where the config has no ``features:``; else None. They
            must be written down before one can be added.
    """
    drop = {"drop": list(names)}
    if chosen is None:
        return "- " + _flow(drop, inside=True)
    return "features: " + _flow([*(_short(op) for op in chosen), drop])


def _short(op: Op) -> dict[str, Any]:
    """An op's entry with its columns as a plain list, and nothing that is the default."""
    ((name, parameters),) = dump_op(op).items()
    given = op.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    kept = {k: v for k, v in parameters.items() if k in given}
    columns = kept.get("columns")
    if isinstance(columns, Mapping) and set(columns) == {"all", "but"} and not columns["but"]:
        kept["columns"] = columns["all"]
    return {name: kept}


def split_by(split: Split, by: str, column: str) -> str:
    """The same shares of rows, divided by the time or the group in a column."""
    return "split: " + _flow({"by": by, "column": column, "valid": split.valid, "test": split.test})


def _flow(value: Any, *, inside: bool = False) -> str:
    """One line of YAML; ``inside`` a list entry, where a mapping needs no braces."""
    if inside:
        ((key, rest),) = value.items()
        return f"{key}: {_flow(rest)}"
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf
    ).removesuffix("\n")
    # a name with a line break takes several lines in YAML's own style, and one in JSON's
    return text if "\n" not in text else json.dumps(value, ensure_ascii=False)
