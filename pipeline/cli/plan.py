"""The command `plan`: what a run would do on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli.options import (
    AllowProtocolOption,
    ClusterOption,
    ConfigArgument,
    DataOption,
    DeviceOption,
    JsonOption,
    RowsOption,
    SetOption,
    TargetOption,
    collect_overrides,
    load_config,
    print_json,
)
from pipeline.cli.usage import list_examples

if TYPE_CHECKING:
    from pipeline.config.model import Config

EXAMPLES = list_examples("plan conf/flights.yaml")


def plan(
    config: ConfigArgument = None,
    data: DataOption = None,
    target: TargetOption = None,
    rows: RowsOption = None,
    device: DeviceOption = None,
    cluster: ClusterOption = None,
    set_: SetOption = None,
    allow_protocol: AllowProtocolOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print where each stage would run, in how many passes and with how much memory.

    The command reads the schema and the size of the data, but does not run any stage.
    """
    overrides = collect_overrides(set_, rows=rows, device=device, cluster=cluster)
    show_plan(load_config(config, data, target, overrides), as_json=as_json)


def show_plan(config: Config, *, as_json: bool) -> None:
    """Print the plan of a config for people, or as JSON."""
    from pipeline.tools.plan import describe_plan, print_plan

    plan = describe_plan(config)
    if as_json:
        print_json(plan)
    else:
        print_plan(plan)
