"""The command `predict`: scores of new data from a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AllowProtocolOption, JsonOption, QuietOption, print_json
from pipeline.cli.usage import list_examples

EXAMPLES = list_examples(
    "predict data/runs/flights-20260101-120000 new.csv --out scores.csv",
    "predict RUN new.parquet --out scores.parquet --model forest --keep flight --keep carrier",
    "predict RUN new.csv --out - --quiet | head",
    "predict RUN new.parquet --out scores.parquet --device gpu",
)


def predict(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder of a finished run, or a model file in its train/ folder."
        ),
    ],
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="New data (CSV, Parquet, Excel, …): files, folders, globs or URLs.",
        ),
    ],
    out: Annotated[
        str,  # a Path would turn s3:// into s3:/
        typer.Option(
            "--out", metavar="FILE", help="Output file (.csv or .parquet), or - to print CSV."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="best|NAME", help="Model that scores the rows, such as xgboost."
        ),
    ] = "best",
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep", metavar="COL", help="Copy this input column to the output. Repeatable."
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table", metavar="NAME=PATH", help="Use a newer version of a side table. Repeatable."
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="auto|gpu|cpu",
            help="Device that scores the rows; auto uses the GPU for more than 100,000 rows.",
        ),
    ] = "auto",
    excel_safe: Annotated[
        bool,
        typer.Option(
            "--excel-safe",
            help="Write ' before texts such as =1+1, so that Excel does not run them.",
        ),
    ] = False,
    storage_option: Annotated[
        list[str] | None,
        typer.Option(
            "--storage-option",
            metavar="KEY=VALUE",
            help="Option for the URLs of DATA and FILE, such as 'key=${NAME}'. "
            "The run's own options are not used.",
        ),
    ] = None,
    allow_protocol: AllowProtocolOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score new data with a model of a finished run; the data need no target column.

    The output has one row per input row, in the same order.
    """
    from pipeline.console.terminal import print_stderr
    from pipeline.errors import InputError
    from pipeline.predict.batch import predict_files

    if as_json and out == "-":
        raise InputError(
            "--json and --out - both print to standard output", fix="use --out FILE with --json"
        )
    prediction = predict_files(
        run, data, out, model=model, keep=keep or [], tables=table or [], device=device,
        excel_safe=excel_safe, storage_options=storage_option or [],
    )  # fmt: skip
    if as_json:
        print_json(prediction.to_json())
    elif not quiet:
        print_stderr(prediction.text())
