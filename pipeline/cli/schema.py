"""The command `schema`: the JSON schema of the config."""

from __future__ import annotations

from pipeline.cli.options import print_json
from pipeline.cli.usage import list_examples

EXAMPLES = list_examples("schema > pipeline.schema.json")


def schema() -> None:
    """Print the JSON schema of the config; editors use it to complete and check YAML."""
    from pipeline.tools.schema import config_schema

    print_json(config_schema())
