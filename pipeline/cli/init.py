"""The command `init`: a first config for new data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AllowProtocolOption
from pipeline.cli.usage import list_examples

EXAMPLES = list_examples("init sales.csv --target revenue --out conf/sales.yaml")


def init(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...", help="CSV, Parquet, Excel, …: files, folders, globs or URLs."
        ),
    ],
    target: Annotated[
        str, typer.Option("--target", metavar="T", help="Column to predict, or an expression.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File to write (default: standard output)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE if it exists.")] = False,
    allow_protocol: AllowProtocolOption = None,
) -> None:
    """Write a config chosen from the data, with comments that explain each choice."""
    from pipeline.artifacts.files import write_text
    from pipeline.console.terminal import print_stderr
    from pipeline.errors import InputError, quote_path
    from pipeline.tools.init import make_config

    if out is not None and out.exists() and not force:
        raise InputError(
            f"{str(out)!r} already exists", fix="choose another --out, or overwrite it with --force"
        )
    text = make_config(data, target)
    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)
        print_stderr(f"wrote {out}; run it with: python -m pipeline run {quote_path(out)}")
