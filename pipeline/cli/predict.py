"""`predict`: new data through a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AllowProtocolOption, JsonOption, QuietOption, print_json

EXAMPLES = (
    "Examples:\n\n  python -m pipeline predict data/runs/flights-20260101-120000 new.csv "
    "--out scores.csv\n\n  python -m pipeline predict RUN new.parquet --out scores.parquet "
    "--model forest --keep flight --keep carrier\n\n  python -m pipeline predict RUN new.csv "
    "--out - --quiet | head\n\n  python -m pipeline predict RUN new.parquet "
    "--out scores.parquet --device gpu"
)


def predict(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder, or a model's file in its train/.")
    ],
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA...", help="New CSV or Parquet: files, folders, globs."),
    ],
    out: Annotated[
        str,  # a Path would make s3:/ of s3://
        typer.Option("--out", metavar="FILE", help="CSV or Parquet, by its ending; - prints CSV."),
    ],
    model: Annotated[
        str, typer.Option("--model", metavar="best|xgboost|forest", help="Which model scores.")
    ] = "best",
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="COL", help="Copy an input column.")
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="NAME=PATH", help="A newer side table."),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="auto|gpu|cpu",
            help="Where rows are scored; auto: the GPU for more than 100,000 of them.",
        ),
    ] = "auto",
    excel_safe: Annotated[
        bool, typer.Option("--excel-safe", help="CSV without formulas: ' before texts like =1+1.")
    ] = False,
    storage_option: Annotated[
        list[str] | None,
        typer.Option(
            "--storage-option",
            metavar="KEY=VALUE",
            help="How to open the URLs named here, such as 'key=${NAME}'; the run's are not used.",
        ),
    ] = None,
    allow_protocol: AllowProtocolOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Scores new data; needs no target. One row per input row, in input order."""
    from pipeline.console.terminal import print_stderr
    from pipeline.errors import InputError
    from pipeline.predict.batch import predict_files

    if as_json and out == "-":
        raise InputError("--json and --out - both print", fix="--out FILE with --json")
    done = predict_files(
        run, data, out, model=model, keep=keep or [], tables=table or [], device=device,
        excel_safe=excel_safe, storage_options=storage_option or [],
    )  # fmt: skip
    if as_json:
        print_json(done.to_json())
    elif not quiet:
        print_stderr(done.text())
