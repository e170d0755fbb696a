"""`bench`: its options, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    AllowProtocolOption,
    ConfigArgument,
    DataOption,
    JsonOption,
    QuietOption,
    SetOption,
    TargetOption,
    collect_overrides,
    load_config,
    print_json,
)

EXAMPLES = (
    "Examples:\n\n  python -m pipeline bench --rows 1e5,1e6\n\n"
    "  python -m pipeline bench conf/flights.yaml --rows 1e5,1e6,1e7 --devices cpu,gpu "
    "--repeat 3 --price cpu=0.34,gpu=4.10"
)


def bench(
    config: ConfigArgument = None,
    data: DataOption = None,
    target: TargetOption = None,
    rows: Annotated[
        str, typer.Option("--rows", metavar="N,N,…", help="Sizes: rows drawn from the data.")
    ] = "1e5,1e6",
    devices: Annotated[
        str, typer.Option("--devices", metavar="cpu,gpu", help="What is measured.")
    ] = "cpu,gpu",
    repeat: Annotated[
        int, typer.Option("--repeat", metavar="N", min=1, help="Runs of each size and device.")
    ] = 3,
    price: Annotated[
        str | None,
        typer.Option("--price", metavar="cpu=P,gpu=P", help="Dollars an hour, for costs."),
    ] = None,
    set_: SetOption = None,
    allow_protocol: AllowProtocolOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Of the results: absent or empty."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Times the run on rows of several sizes, on the CPU and the GPU, each in a process of its own.

    Rows are drawn from the config's data, with noise. Leaves bench.json, a chart and a page.
    """
    from pipeline.bench import runner, table
    from pipeline.bench.request import parse_request
    from pipeline.console.terminal import print_stderr

    wanted = parse_request(rows, devices, repeat, price)
    checked = load_config(config, data, target, collect_overrides(set_))
    say = (lambda text: None) if quiet else print_stderr
    begun = runner.prepare_benchmark(checked, wanted, out=out, say=say)
    try:
        runner.run(begun)
    finally:  # an interruption too leaves what was measured
        if begun.cells:
            result = begun.result()
            if as_json:
                print_json({"folder": str(begun.out), **result})
            else:
                table.print_tables(result)
            print_stderr(f"results: {begun.out}")
