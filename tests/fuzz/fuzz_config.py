"""Any bytes as a config: it is one, or an error of ours says why not.

The first line that is a form feed alone ends the YAML; the lines after it are ``--set`` options.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuzz_laws import SCRATCH, refused

from pipeline.config.loader import read_yaml
from pipeline.config.model import Config
from pipeline.config.yaml_text import parse_yaml
from pipeline.features.registry import dump_op, parse_ops
from pipeline.train.model import parse_models


def one(data: bytes) -> None:
    """What is written back is read as the same."""
    text, _, options = data.partition(b"\n\x0c\n")
    path = Path(SCRATCH, "c.yaml")
    path.write_bytes(text)
    with refused():
        tree = read_yaml(path)
        lawful(tree, options.decode("utf-8", "replace").split("\n") if options else [])


def lawful(tree: Any, overrides: Sequence[str] = ()) -> None:
    """The same of a parsed tree."""
    with refused():
        config = Config.parse(tree, overrides)
        entries = [dump_op(op) for op in parse_ops(config.features or ())]
        models = parse_models(config.models)
        again = Config.parse(parse_yaml(config.to_yaml(), "config.yaml"))
        assert again.to_yaml() == config.to_yaml(), "config.yaml is another config"
        read = [dump_op(op) for op in parse_ops(again.features or ())]
        assert read == entries, "config.yaml has other ops"
        assert [dump_op(op) for op in parse_ops(entries)] == entries, "plan.json has other ops"
        assert parse_models(again.models) == models, "config.yaml has other models"
