"""Arguments and options that commands share, the config that they name, and JSON output."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.usage import parse_rows

if TYPE_CHECKING:
    from pipeline.config.model import Config

DEFAULT_CONFIG = Path("conf/flights.yaml")

ConfigArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[CONFIG]", help="Config file in YAML (default: conf/flights.yaml)."),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Data (CSV, Parquet, Excel, …): a file, folder, glob or URL. Repeatable.",
    ),
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target", metavar="T", help="Column to predict, or an expression such as 'delay > 15'."
    ),
]
RowsOption = Annotated[
    int | None,
    typer.Option("--rows", metavar="N", parser=parse_rows, help="Use only the first N rows."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="auto|gpu|cpu", help="Device that runs the stages."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="A.B=C", help="Set a key of the config; the value is YAML. Repeatable."
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="C",
        help="Where to compute: process, cores, gpus or a scheduler's address.",
    ),
]
ResumeOption = Annotated[
    Path | None,
    typer.Option(
        "--resume", metavar="RUN", help="Resume this run, with its own config unless you name one."
    ),
]


def _allow(protocols: list[str] | None) -> list[str] | None:
    """Allow protocols, as a callback that runs before the config is checked."""
    from pipeline.config.urls import allow_protocol

    for protocol in protocols or ():
        try:
            allow_protocol(protocol)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return protocols


AllowProtocolOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-protocol",
        metavar="NAME",
        callback=_allow,
        help="Allow URLs that begin with NAME://, such as sftp://, in a config that you trust.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output.")
]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Do not print progress.")]
VerboseOption = Annotated[
    bool, typer.Option("-v", "--verbose", help="Print more about each stage.")
]


def load_tree(config: Path | None, data: list[str] | None, target: str | None) -> Any:
    """Load the tree of a config file, or build one from just the data and the target."""
    from pipeline.config.loader import derive_name, read_yaml
    from pipeline.errors import ConfigError

    if config is None and data:
        if target is None:
            raise ConfigError("--data needs --target", fix="name the column to predict: --target T")
        return {"name": derive_name(data[0]), "data": {"path": data, "target": target}}
    tree = read_yaml(config or DEFAULT_CONFIG)
    if isinstance(tree, dict) and (data or target):
        section = tree.setdefault("data", {})
        if isinstance(section, dict):
            section.update({k: v for k, v in (("path", data), ("target", target)) if v})
    return tree


def load_config(
    config: Path | None, data: list[str] | None, target: str | None, overrides: list[str]
) -> Config:
    """Load and check the config of a file, or of data and target, with overrides."""
    from pipeline.config.model import Config

    return Config.from_file(load_tree(config, data, target), overrides)


def choose_resume_config(
    resume: Path, config: Path | None, data: list[str] | None, *,
    out: Path | None, profile: str | None,
) -> Path | None:  # fmt: skip
    """Return the config for a resumed run: the named config, or else the run folder's own."""
    from pipeline.errors import InputError

    if out is not None and out.resolve() != resume.resolve():
        raise InputError(
            f"--out {str(out)!r} and --resume {str(resume)!r} are two run folders",
            fix="leave out --out, because --resume names the folder",
        )
    if profile is not None:
        raise InputError(
            "--profile with --resume: reused stages cannot be measured",
            fix="profile a new run",
        )
    if config is not None or data:
        return config
    own_config = resume / "config.yaml"
    if own_config.is_file():
        return own_config
    raise InputError(
        f"--resume {str(resume)!r}: there is no {own_config}, so no run has started there",
        fix="name the config too: python -m pipeline run CONFIG --resume RUN",
    )


def expand_home(argument: str) -> str:
    """Replace a ``~`` at the start of an argument or of an option's value by the home folder."""
    # Shells do this only at the start of a word, so not in ``--out=~/x``.
    option, sign, value = argument.partition("=")
    if not sign or not option.startswith("--"):
        option, sign, value = "", "", argument
    return option + sign + (os.path.expanduser(value) if re.match(r"~(/|$)", value) else value)


def collect_overrides(given: list[str] | None, **options: Any) -> list[str]:
    """List the overrides: values of ``--set``, then the options that are short for a key."""
    named = {"rows": "data.rows", "device": "device", "cluster": "cluster.kind"}
    shorthands = [f"{named[k]}={json.dumps(v)}" for k, v in options.items() if v is not None]
    return [*(given or []), *shorthands]


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output, in ASCII if that is the terminal's encoding."""
    from pipeline.config.loader import redact
    from pipeline.console.terminal import to_json_line

    plain = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    sys.stdout.write(redact(to_json_line(value, indent=1, ascii_only=plain)) + "\n")
