"""The JSON schema of the config, with which editors complete and check it."""

from __future__ import annotations

from typing import Any

from pipeline.config.model import Config
from pipeline.features.registry import REGISTRY, get_op_class
from pipeline.train.model import MODEL_REGISTRY


def config_schema() -> dict[str, Any]:
    """Build the JSON Schema 2020-12 of a config file, with every op and model."""
    schema = Config.model_json_schema(by_alias=True)
    definitions = schema.setdefault("$defs", {})
    ops = []
    for name in sorted(REGISTRY):
        op_schema = get_op_class(name).model_json_schema(
            by_alias=True, ref_template=f"#/$defs/{name}.{{model}}"
        )
        for inner, definition in op_schema.pop("$defs", {}).items():
            definitions[f"{name}.{inner}"] = definition
        ops.append(
            {
                "type": "object",
                "properties": {
                    name: {"anyOf": [op_schema, {"type": ["string", "array", "object"]}]}
                },
                "required": [name],
                "additionalProperties": False,
            }
        )
    schema["properties"]["features"]["anyOf"][0]["items"] = {"oneOf": ops}
    schema["properties"]["models"] = {
        "type": ["object", "null"],
        "properties": {
            name: {"anyOf": [entry.params.model_json_schema(by_alias=True), {"type": "null"}]}
            for name, entry in MODEL_REGISTRY.items()
        },
        "additionalProperties": False,
        "default": None,
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
