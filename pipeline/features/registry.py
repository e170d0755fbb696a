"""The ops by name, and how a YAML entry becomes one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.validation import validate
from pipeline.errors import ConfigError, suggest_or_list
from pipeline.features.op import Op

# name -> class in pipeline/features/ops/<name>.py; imported when first used
REGISTRY: Mapping[str, str] = {
    "aggregate": "Aggregate", "bucket": "Bucket", "cast": "Cast", "categorify": "Categorify",
    "clip": "Clip", "count_encode": "CountEncode", "cross": "Cross", "dates": "Dates",
    "derive": "Derive", "drop": "Drop", "elapsed": "Elapsed", "fill": "Fill", "filter": "Filter",
    "hash": "Hash", "haversine": "Haversine", "join": "Join", "keep": "Keep", "lag": "Lag",
    "log": "Log", "one_hot": "OneHot", "rename": "Rename", "scale": "Scale",
    "target_encode": "TargetEncode",
}  # fmt: skip


def get_op_class(name: str) -> type[Op]:
    """The class of the op called ``name``.

    Raises:
        ConfigError: there is no such op; the nearest name is proposed.
    """
    if name not in REGISTRY:
        raise ConfigError(f"features: there is no op {name!r}", fix=suggest_or_list(name, REGISTRY))
    found: type[Op] = getattr(
        importlib.import_module(f"pipeline.features.ops.{name}"), REGISTRY[name]
    )
    return found


def parse_ops(entries: Sequence[Any]) -> list[Op]:
    """Ops of the ``features:`` list; each entry is ``{name: parameters}``.

    Raises:
        ConfigError: an entry is no such mapping, or its parameters are wrong.
    """
    return [parse_op(entry, f"features[{i}]") for i, entry in enumerate(entries)]


def parse_op(entry: Any, where: str = "features") -> Op:
    """One op from its YAML entry."""
    if isinstance(entry, Op):
        return entry
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise ConfigError(
            f"{where}: {entry!r} is not one op",
            fix="write `- name: {parameters}`, one op per list entry",
        )
    ((name, parameters),) = entry.items()
    return validate(get_op_class(str(name)), parameters, f"{where}.{name}")


def dump_op(op: Op) -> dict[str, Any]:
    """The YAML entry of an op with every default: the inverse of `parse_op`."""
    return {op.name: op.model_dump(mode="json", by_alias=True)}
