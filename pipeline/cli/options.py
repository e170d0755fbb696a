"""Arguments and options that several commands take, the config that they name, and JSON output."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.usage import parse_rows

DEFAULT_CONFIG = Path("conf/flights.yaml")

ConfigArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[CONFIG]", help="A YAML file; conf/flights.yaml if absent."),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="PATH", help="CSV or Parquet: a file, folder, glob or URL."),
]
TargetOption = Annotated[
    str | None,
    typer.Option("--target", metavar="T", help="A column, or an expression such as 'delay > 15'."),
]
RowsOption = Annotated[
    int | None,
    typer.Option("--rows", metavar="N", parser=parse_rows, help="Only the first N rows."),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", metavar="auto|gpu|cpu", help="Where the stages run.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Overrides a key; the value is YAML. Repeatable."),
]
ClusterOption = Annotated[
    str | None,
    typer.Option("--cluster", metavar="C", help="process, cores, gpus or tcp://host:8786."),
]
ResumeOption = Annotated[
    Path | None,
    typer.Option(
        "--resume", metavar="RUN", help="Go on with this run; its config if none is named."
    ),
]


def _allow(protocols: list[str] | None) -> list[str] | None:
    """Allow the protocols before the config is read, which is checked against them."""
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
        help="Let the config read NAME:// URLs too, such as sftp: if you trust it.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")]
VerboseOption = Annotated[bool, typer.Option("-v", "--verbose", help="More about each stage.")]


def load_tree(config: Path | None, data: list[str] | None, target: str | None) -> Any:
    """The YAML tree of a config file, or one that names just the data and the target."""
    from pipeline.config.loader import read_yaml
    from pipeline.errors import ConfigError

    if config is None and data:
        if target is None:
            raise ConfigError("--data needs --target", fix="name the column to predict: --target T")
        return {"name": derive_name(data[0]), "data": {"path": data, "target": target}}
    tree = read_yaml(config or DEFAULT_CONFIG)
    if isinstance(tree, dict) and (data or target):
        own = tree.setdefault("data", {})
        if isinstance(own, dict):
            own.update({k: v for k, v in (("path", data), ("target", target)) if v})
    return tree


def derive_name(path: str) -> str:
    """A config name made of a data path."""
    stem = Path(path.rstrip("/")).name.split(".")[0]
    cleaned = "".join(c if c.isalnum() and c.isascii() else "-" for c in stem).strip("-")
    return cleaned[:64] or "run"


def load_config(
    config: Path | None, data: list[str] | None, target: str | None, overrides: list[str]
) -> Any:
    """The checked `Config` of a file, or of data and target, with overrides."""
    from pipeline.config.model import Config

    return Config.from_file(load_tree(config, data, target), overrides)


def choose_resume_config(
    resume: Path, config: Path | None, data: list[str] | None, *,
    out: Path | None, profile: str | None,
) -> Path | None:  # fmt: skip
    """The config that goes on in a run folder: the one that is named, else the folder's own."""
    from pipeline.errors import InputError

    if out is not None and out.resolve() != resume.resolve():
        raise InputError(
            f"--out {str(out)!r} and --resume {str(resume)!r} are two run folders",
            fix="--resume RUN is the folder itself; leave --out away",
        )
    if profile is not None:
        raise InputError(
            "--profile with --resume: stages that are kept cannot be measured",
            fix="profile a run of its own",
        )
    if config is not None or data:
        return config
    own = resume / "config.yaml"
    if own.is_file():
        return own
    raise InputError(
        f"--resume {str(resume)!r}: there is no {own}, so no run has begun there",
        fix="name the config too: python -m pipeline run CONFIG --resume RUN",
    )


def expand_home(argument: str) -> str:
    """``--out=~/x`` with the home folder: shells leave a ``~`` that does not begin a word."""
    option, sign, value = argument.partition("=")
    if not sign or not option.startswith("--"):
        option, sign, value = "", "", argument
    return option + sign + (os.path.expanduser(value) if re.match(r"~(/|$)", value) else value)


def collect_overrides(given: list[str] | None, **options: Any) -> list[str]:
    """``--set`` values, then the options that are short for them."""
    named = {"rows": "data.rows", "device": "device", "cluster": "cluster.kind"}
    short = [f"{named[k]}={json.dumps(v)}" for k, v in options.items() if v is not None]
    return [*(given or []), *short]


def print_json(value: Any) -> None:
    """One JSON value on standard output, in ASCII where the terminal is."""
    from pipeline.config.loader import redact
    from pipeline.console.terminal import to_json_line

    plain = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    sys.stdout.write(redact(to_json_line(value, indent=1, ascii_only=plain)) + "\n")
