"""The generated reference covers every config key, op and command."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import typer
import yaml

from pipeline.cli.app import app
from pipeline.features.registry import REGISTRY, get_op_class, parse_ops
from pipeline.tools.schema import config_schema
from pipeline.train.model import MODEL_REGISTRY

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def pages():
    """The generated pages by name."""
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        from generated_pages import GENERATORS
    finally:
        sys.path.remove(str(DOCS / "_ext"))
    return {name: generate() for name, generate in GENERATORS.items()}


def sections(page):
    parts = re.split(r"^## (.+)$", page, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def schema_keys(schema, definitions, prefix=""):
    """Dotted keys of a JSON schema; ``NAME`` for the keys of a mapping of sections."""
    for name, entry in schema["properties"].items():
        reference = entry.get("$ref")
        values = entry.get("additionalProperties")
        if reference:
            yield from schema_keys(
                definitions[reference.split("/")[-1]], definitions, f"{prefix}{name}."
            )
        elif isinstance(values, dict) and "$ref" in values:
            inner = definitions[values["$ref"].split("/")[-1]]
            yield from schema_keys(inner, definitions, f"{prefix}{name}.NAME.")
        else:
            yield prefix + name


def test_every_config_key_has_a_row(pages):
    schema = config_schema()
    keys = {k for k in schema_keys(schema, schema["$defs"]) if k not in ("features", "models")}
    for model, entry in MODEL_REGISTRY.items():
        keys |= {f"models.{model}.{name}" for name in entry.params.model_fields}
    rows = re.findall(r"^\| `([\w.]+)` \|", pages["config"], re.M)
    assert set(rows) == keys
    assert len(rows) == len(keys) > 60


def test_every_row_has_a_meaning(pages):
    for page in (pages["config"], pages["ops"]):
        assert re.findall(r"^\| `.*\|\s*\|$", page, re.M) == []


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_op_has_its_parameters_and_an_example(pages, name):
    section = sections(pages["ops"])[name]
    fields = get_op_class(name).model_fields
    rows = set(re.findall(r"^\| `(\w+)` \|", section, re.M))
    assert rows == {field.alias or key for key, field in fields.items()}
    assert ">>> " in section
    (entry,) = re.findall(r"```yaml\n(.*?)```", section, re.S)
    assert [op.name for op in parse_ops(yaml.safe_load(entry))] == [name]


def test_every_command_has_its_options(pages):
    commands = typer.main.get_command(app).commands
    shown = sections(pages["cli"])
    assert set(shown) == set(commands)
    for name, command in commands.items():
        for parameter in command.params:
            options = (
                parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]
            )
            assert all(option in shown[name] for option in options if option), (
                name,
                parameter.name,
            )


def test_every_cell_is_one_line_of_four_or_three_columns(pages):
    for name, page in pages.items():
        rows = [line for line in page.splitlines() if line.startswith("|")]
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert widths == {5 if name != "cli" else 4}, name


def test_each_generator_has_a_page_that_it_fills(pages):
    for name in pages:
        assert f"<!-- generated: {name} -->" in (DOCS / "reference" / f"{name}.md").read_text()
