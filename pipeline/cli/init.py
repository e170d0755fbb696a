"""The command that writes a config for data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AllowProtocolOption


def init(
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="CSV or Parquet.")],
    target: Annotated[
        str, typer.Option("--target", metavar="T", help="A column, or an expression.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to write; standard output if absent."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
    allow_protocol: AllowProtocolOption = None,
) -> None:
    """Writes a config with what was found in the data, to be edited."""
    from pipeline.artifacts.files import write_text
    from pipeline.console.terminal import print_stderr
    from pipeline.errors import InputError, quote_path
    from pipeline.tools.init import make_config

    if out is not None and out.exists() and not force:
        raise InputError(f"{str(out)!r} is there already", fix="another --out, or --force")
    text = make_config(data, target)
    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)
        print_stderr(f"wrote {out}; run it with: python -m pipeline run {quote_path(out)}")
