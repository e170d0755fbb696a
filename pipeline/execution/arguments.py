"""The arguments of `run`: a config from a file, a frame, or keywords that are the keys of YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.files import FRAMES
from pipeline.artifacts.run_dirs import CONFIG
from pipeline.config.loader import derive_name, read_yaml
from pipeline.config.model import Config
from pipeline.errors import ConfigError

FILE_KEYS = ("path", "format", "csv", "storage_options")
"""Keys of ``data`` that describe files, and say nothing about a frame."""
Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class RunRequest:
    """The config and the data that a run was asked for."""

    config: Config
    """The config; with a frame, ``data.path`` is a placeholder for its file."""
    frame: Any = None
    """The frame to run; None: the data are the config's files."""


def read_arguments(
    source: Any,
    data: Paths | Mapping[str, Any] | None,
    target: str | int | None,
    resume: str | Path | None,
    keys: Mapping[str, Any],
) -> RunRequest:
    """Build the config of a run from its arguments; see `pipeline.execution.runner.run`.

    Raises:
        ConfigError: keys are unknown, values are wrong, or arguments contradict each other.
    """
    given = {"data": data, "target": target, **keys}
    given = {name: value for name, value in given.items() if value is not None or name in keys}
    if isinstance(source, Config):
        if given:
            raise ConfigError(
                f"a Config is complete: {', '.join(given)} cannot be added to it",
                fix="pass the path of the YAML file instead, or build the whole config from keys",
            )
        return RunRequest(source)
    if source is None and resume is not None and not isinstance(data, str | Path | Sequence):
        source = Path(resume) / CONFIG
    if isinstance(source, str | Path):
        tree = read_yaml(Path(source).expanduser())
        _set_keys(tree, data, target, keys)
        return RunRequest(Config.from_file(tree, _name_cluster(keys)))
    if source is None and not given:
        raise ConfigError(
            "run needs a config, a frame or data",
            fix='write run("my.yaml"), run(frame, target="y") or run(data="x.csv", target="y")',
        )
    tree = {}
    if source is not None:
        target = str(target) if isinstance(target, int) else target  # as its column's name is
        _set_keys(tree, data, target, keys)
        _describe_frame(tree, data)
    else:
        _set_keys(tree, data, target, keys)
        paths = tree["data"].get("path") if isinstance(tree.get("data"), dict) else None
        if isinstance(paths, list) and paths:
            tree.setdefault("name", derive_name(str(paths[0])))
    return RunRequest(Config.parse(tree), source)


def _set_keys(
    tree: dict[str, Any],
    data: Paths | Mapping[str, Any] | None,
    target: str | int | None,
    keys: Mapping[str, Any],
) -> None:
    """Set keys of a config's tree; one that the tree has is replaced."""
    tree.update(keys)
    changes: dict[str, Any] = {}
    if isinstance(data, str | Path):
        changes["path"] = [str(data)]
    elif isinstance(data, Mapping):
        changes.update(data)
    elif data is not None:
        changes["path"] = [str(path) for path in data]
    if target is not None:
        changes["target"] = target
    if changes:
        before = tree.get("data")
        tree["data"] = {**(before if isinstance(before, dict) else {}), **changes}


def _describe_frame(tree: dict[str, Any], data: Paths | Mapping[str, Any] | None) -> None:
    """Complete the tree of a run whose data are a frame.

    Raises:
        ConfigError: files are named too.
    """
    section = tree.setdefault("data", {})
    if named := [key for key in FILE_KEYS if key in section]:
        what = f"data.{named[0]}" if isinstance(data, Mapping) else "data"
        raise ConfigError(
            f"{what} describes files, and the data are the frame",
            fix="pass either the frame or the files",
        )
    section["path"] = [FRAMES]
    section["format"] = "parquet"
    tree.setdefault("name", FRAMES)


def _name_cluster(keys: Mapping[str, Any]) -> list[str]:
    """Return the override that allows a scheduler on another host, if the caller names one."""
    cluster = keys.get("cluster")
    kind = cluster.get("kind") if isinstance(cluster, Mapping) else cluster
    return [] if kind is None else [f"cluster.kind={json.dumps(kind)}"]
