"""The reference of the command line, generated from the Typer app."""

from __future__ import annotations

import re
from typing import Any

import typer
from reference_config import cell

from pipeline.cli.app import app


def commands() -> dict[str, Any]:
    """Return the commands by name, in alphabetical order."""
    return dict(sorted(typer.main.get_command(app).commands.items()))


def usage_of(name: str, command: Any) -> str:
    """Return a command's usage line."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = ["python -m pipeline", name, *(p.metavar or p.name.upper() for p in arguments)]
    return " ".join([*usage, "[OPTIONS]"] if len(command.params) > len(arguments) else usage)


def option_of(option: Any) -> str:
    """Return an option's names and metavar, such as ``--rows N``."""
    names = "`, `".join([*option.opts, *option.secondary_opts])
    metavar = "" if option.is_flag else " " + (option.metavar or option.name.upper())
    return f"`{names}{metavar}`"


def default_of(option: Any) -> str:
    """Return an option's default; flags that are off and absent values have none."""
    value = option.default
    return "" if value in (None, False, ()) or callable(value) else f"`{value}`"


def section_of(name: str, command: Any) -> str:
    """Return the section of one command: usage, text, options, examples."""
    lines = [
        f"## {name}",
        "",
        "```text",
        usage_of(name, command),
        "```",
        "",
        plain(command.help),
        "",
    ]
    rows = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    if rows:
        lines += ["| argument or option | default | meaning |", "|---|---|---|"]
    for p in rows:
        is_argument = p.param_type_name == "argument"
        shown = f"`{p.metavar or p.name.upper()}`" if is_argument else option_of(p)
        lines.append("| " + " | ".join(map(cell, (shown, default_of(p), plain(p.help)))) + " |")
    examples = re.findall(r"^ *(python -m pipeline .*?)$", command.epilog or "", re.M)
    if examples:
        lines += ["", "```bash", *(e.strip() for e in examples), "```"]
    return "\n".join([*lines, ""])


def plain(text: str | None) -> str:
    """Return help text without Rich's markup and hard line breaks."""
    text = re.sub(r"\[/?(?:bold|dim|italic|cyan|green|red|yellow)\]", "", text or "")
    paragraphs = re.split(r"\n\s*\n", text.replace("\b", "").strip())
    return "\n\n".join(" ".join(p.split()) for p in paragraphs).replace("<", "&lt;")


def markdown() -> str:
    """Return the reference page's generated part: one section per command."""
    return "\n".join(section_of(name, command) for name, command in commands().items())
