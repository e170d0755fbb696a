"""The command `bench`: the time of a run by rows and device."""

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
from pipeline.cli.usage import list_examples

EXAMPLES = list_examples(
    "bench --rows 1e5,1e6",
    "bench conf/flights.yaml --rows 1e5,1e6,1e7 --devices cpu,gpu --repeat 3 "
    "--price cpu=0.34,gpu=4.10",
)


def bench(
    config: ConfigArgument = None,
    data: DataOption = None,
    target: TargetOption = None,
    rows: Annotated[
        str, typer.Option("--rows", metavar="N,N,…", help="Numbers of rows to measure.")
    ] = "1e5,1e6",
    devices: Annotated[
        str, typer.Option("--devices", metavar="cpu,gpu", help="Devices to measure.")
    ] = "cpu,gpu",
    repeat: Annotated[
        int,
        typer.Option("--repeat", metavar="N", min=1, help="Number of runs per size and device."),
    ] = 3,
    price: Annotated[
        str | None,
        typer.Option(
            "--price",
            metavar="cpu=P,gpu=P",
            help="Price of each device in dollars per hour, to compute costs.",
        ),
    ] = None,
    set_: SetOption = None,
    allow_protocol: AllowProtocolOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="New or empty folder for the results."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure the time of a run for several numbers of rows, on the CPU and on the GPU.

    The rows are drawn from the config's data, with noise added. Each run is a new process.
    The results are bench.json and a page with a chart.
    """
    from pipeline.bench import runner, table
    from pipeline.bench.request import parse_request
    from pipeline.console.terminal import print_stderr

    request = parse_request(rows, devices, repeat, price)
    checked = load_config(config, data, target, collect_overrides(set_))
    say = (lambda text: None) if quiet else print_stderr
    benchmark = runner.prepare_benchmark(checked, request, out=out, say=say)
    try:
        runner.run(benchmark)
    finally:  # also after an interruption: the completed measurements stay useful
        if benchmark.cells:
            result = benchmark.result()
            if as_json:
                print_json({"folder": str(benchmark.out), **result})
            else:
                table.print_tables(result)
            print_stderr(f"results: {benchmark.out}")
