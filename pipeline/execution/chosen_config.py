"""The config that repeats a run: what the run chose is written out as if it had been configured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from pipeline.config.model import MODELS, Config
from pipeline.features.op import Op
from pipeline.features.registry import dump_op
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv.types import SourceColumn
from pipeline.matrix import Target

FILE = "chosen.yaml"
HEAD = """\
# The config of this run with everything that it chose: formats, types, task, features, models.
# It repeats the run, and is a config to edit: python -m pipeline run chosen.yaml
"""


def make_chosen_config(
    config: Config, contract: Contract, target: Target, ops: Sequence[Op]
) -> str:
    """Return the YAML of a config that chooses nothing.

    Args:
        config: the run's config.
        contract: the files as they were read.
        target: the inferred target.
        ops: the ops that the run used, if the config names none.
    """
    tree = config.model_dump(mode="json", by_alias=True)
    tree["data"] |= {"task": target.task, "types": _write_types(contract.columns, config)}
    if contract.dialect is not None:
        tree["data"]["csv"] |= {
            "delimiter": contract.dialect.delimiter,
            "newlines_in_values": contract.dialect.newlines_in_values,
        }
        encodings = {file.encoding for file in contract.files}
        if len(encodings) == 1:
            tree["data"]["csv"]["encoding"] = encodings.pop()
    if config.features is None:
        tree["features"] = [dump_op(op) for op in ops]
    if config.models is None:
        tree["models"] = {name: {} for name in MODELS}
    return HEAD + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _write_types(columns: Sequence[SourceColumn], config: Config) -> dict[str, Any]:
    """Return the type of each column, or its format of dates: as in the config, or as read."""
    asked = config.data.types
    free = [c for c in columns if c.name not in asked or asked[c.name] in ("date", "datetime")]
    return {**asked, **{c.name: c.config_type for c in free}}
