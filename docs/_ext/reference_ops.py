"""The reference of feature ops, generated from their classes: text, parameters and example."""

from __future__ import annotations

import inspect
import re
import textwrap

from reference_config import Key, cell, describe_default, describe_type, field_docstrings

from pipeline.features.op import Op
from pipeline.features.registry import REGISTRY, get_op_class
from pipeline.schema import Select


def parameters_of(op: type[Op]) -> list[Key]:
    """Return the parameters of an op's YAML entry."""
    schema = op.model_json_schema(by_alias=True)
    meanings = field_docstrings(op)
    keys = []
    # The bases declare `as`; people write it last.
    for name, field in sorted(op.model_fields.items(), key=lambda item: item[0] == "as_"):
        key = field.alias or name
        values = describe_type(schema["properties"][key], schema.get("$defs", {}))
        if field.annotation is Select:
            values = "[selection](#selecting-columns)"
        keys.append(
            Key(
                key,
                values,
                describe_default(field.default),
                meanings.get(name, ""),
            )
        )
    return keys


def prose_and_example(op: type[Op]) -> tuple[str, str]:
    """Return an op's docstring without its example, and the example's lines."""
    prose, _, example = (inspect.getdoc(op) or "").partition("\nExample")
    lines = example.partition("\n")[2]
    return prose.strip(), textwrap.dedent(lines).strip()


def to_markdown(prose: str) -> str:
    """Return a docstring's text as Markdown: code in single quotes, literal blocks fenced."""
    prose = re.sub(r"``(.+?)``", r"`\1`", prose)
    return re.sub(
        r"::\n\n((?:    .*\n?|\n)+)",
        lambda m: f":\n\n```\n{textwrap.dedent(m[1]).rstrip()}\n```\n",
        prose,
    )


def section_of(name: str) -> str:
    """Return the section of one op."""
    op = get_op_class(name)
    prose, example = prose_and_example(op)
    lines = [f"## {name}", "", to_markdown(prose), ""]
    lines += ["| parameter | values | default | meaning |", "|---|---|---|---|"]
    for key in parameters_of(op):
        columns = (f"`{key.path}`", key.values, key.default, key.text)
        lines.append("| " + " | ".join(map(cell, columns)) + " |")
    entry, prompt, session = example.partition(">>> ")
    if entry.strip():
        lines += ["", "```yaml", entry.strip(), "```"]
    if session:
        lines += ["", "```pycon", prompt + session, "```"]
    return "\n".join([*lines, ""])


def markdown() -> str:
    """Return the reference page's generated part: one section per op, in alphabetical order."""
    return "\n".join(section_of(name) for name in sorted(REGISTRY))
