"""A bad input: what is made, the command line, and what must be said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Content = str | bytes | Callable[[Path], None]
"""A file's text or bytes, or what makes it (given its path)."""

GOOD = "a,b,y\n" + "".join(f"{i},{'xyz'[i % 3]},{i % 2}\n" for i in range(60))
RUN = ("run", "c.yaml", "--out", "run", "-q")
PREDICT = ("predict", "done", "n.csv", "--out", "o.csv", "-q")
NEW = "a,b,t\n1,x,2024-01-01\n2,y,2024-01-02\n"
"""What the finished run scores."""


@dataclass(frozen=True)
class Case:
    """One entry of the catalogue."""

    says: tuple[str, ...]
    """Patterns that the message must have, all of them: what, where, and the fix."""
    command: tuple[str, ...] = RUN
    files: Mapping[str, Content] = field(default_factory=dict)
    """Beside ``d.csv`` (`GOOD`) and ``c.yaml``."""
    config: Mapping[str, Any] | str | bytes = field(default_factory=dict)
    """Changes to the good config by ``a__b`` path, or the whole file."""
    status: int = 2
    done: bool = False
    """A finished run of `DONE` lies in ``done/``."""

    def config_file(self) -> bytes:
        """What ``c.yaml`` holds."""
        if isinstance(self.config, bytes):
            return self.config
        return (self.config if isinstance(self.config, str) else config(**self.config)).encode()


def config(**changes: Any) -> str:
    """A good config with changes: ``a__b`` is the key ``a.b``."""
    tree: dict[str, Any] = {
        "data": {"path": "d.csv", "target": "y"},
        "models": {"xgboost": {"rounds": 3}, "forest": {"trees": 2}},
        "cluster": {"kind": "process", "dashboard": False},
        "refit": "never",
        "device": "cpu",
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return yaml.safe_dump(tree)


def bad_config(*says: str, status: int = 2, **changes: Any) -> Case:
    """A run whose config differs so from the good one."""
    return Case(says, config=changes, status=status)


def bad_yaml(text: str | bytes, *says: str) -> Case:
    """A run whose config is this text."""
    return Case(says, config=text)


def bad_data(content: Content, *says: str, name: str = "d.csv", **changes: Any) -> Case:
    """A run whose data are this file."""
    return Case(says, files={name: content}, config={"data__path": name, **changes})


def bad_command(line: str, *says: str, files: Mapping[str, Content] | None = None, status: int = 2) -> Case:  # fmt: skip
    """A command line, its words apart."""
    return Case(says, tuple(line.split()), files or {}, status=status)


def bad_table(content: Content, *says: str, join: Mapping[str, Any] | None = None, **table: Any) -> Case:  # fmt: skip
    """A run that joins this side table."""
    settings = {"path": "s.csv", "keys": ["b"], **table}
    features = [{"join": {"table": "s", **(join or {})}}, {"categorify": {"columns": ["b"]}}]
    changes = {"data__tables": {"s": settings}, "features": features}
    return Case(says, files={"s.csv": content}, config=changes)


def bad_new(content: Content, *says: str, name: str = "n.csv") -> Case:
    """Such new data for the finished run."""
    command = tuple(name if word == "n.csv" else word for word in PREDICT)
    return Case(says, command, {name: content}, done=True)


def bad_predict(line: str, *says: str, files: Mapping[str, Content] | None = None, status: int = 2) -> Case:  # fmt: skip
    """A command line about the finished run, beside good new data and a side table."""
    side = "b,v\nx,1.0\ny,2.0\nz,3.0\n"
    return Case(says, tuple(line.split()), {"n.csv": NEW, "s.csv": side, **(files or {})}, status=status, done=True)  # fmt: skip


DONE = {
    "d.csv": "a,b,t,y\n" + "".join(
        f"{i * 7 % 60},{'xyz'[i % 3]},2024-01-{i % 28 + 1:02},{i % 2}\n" for i in range(60)
    ),
    "s.csv": "b,v\nx,1.5\ny,2.5\nz,3.5\n",
    "c.yaml": config(
        data__path="d.csv", data__target="y",
        data__tables={"s": {"path": "s.csv", "keys": ["b"]}},
        features=[
            {"join": {"table": "s"}},
            {"categorify": {"columns": ["b"]}},
            {"dates": {"columns": ["t"], "parts": ["day"]}},
        ],
    ),
}  # fmt: skip
"""The files of the finished run, which ends in `done/`."""
