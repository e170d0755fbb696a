"""The registry of ops by name; YAML entries to ops and back."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.validation import validate
from pipeline.errors import ConfigError, suggest_or_list
from pipeline.features.op import Op

# Op name -> class in pipeline/features/ops/<name>.py. Modules are imported when first used, so
# that `--help` does not import pandas.
REGISTRY: Mapping[str, str] = {
    "aggregate": "Aggregate", "bucket": "Bucket", "cast": "Cast", "categorify": "Categorify",
    "clip": "Clip", "count_encode": "CountEncode", "cross": "Cross", "dates": "Dates",
    "derive": "Derive", "drop": "Drop", "elapsed": "Elapsed", "fill": "Fill", "filter": "Filter",
    "hash": "Hash", "haversine": "Haversine", "join": "Join", "keep": "Keep", "lag": "Lag",
    "log": "Log", "one_hot": "OneHot", "rename": "Rename", "scale": "Scale",
    "target_encode": "TargetEncode",
}  # fmt: skip


def get_op_class(name: str) -> type[Op]:
    """Return the class of the op called ``name``.

    Raises:
        ConfigError: there is no such op; the message suggests the nearest name.
    """
    if name not in REGISTRY:
        raise ConfigError(f"features: there is no op {name!r}", fix=suggest_or_list(name, REGISTRY))
    module = importlib.import_module(f"pipeline.features.ops.{name}")
    op: type[Op] = getattr(module, REGISTRY[name])
    return op


def parse_ops(entries: Sequence[Any]) -> list[Op]:
    """Return the ops of a ``features:`` list, whose entries are ``{name: parameters}``.

    Raises:
        ConfigError: an entry is not such a mapping, or its parameters are wrong.
    """
    return [parse_op(entry, f"features[{i}]") for i, entry in enumerate(entries)]


def parse_op(entry: Any, where: str = "features") -> Op:
    """Return the op of a YAML entry."""
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
    """Return an op's YAML entry with every default: the inverse of `parse_op`."""
    return {op.name: op.model_dump(mode="json", by_alias=True)}
