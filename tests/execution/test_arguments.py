"""The arguments of run: what they make of a config, and which contradict each other."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from pipeline.config.model import Config
from pipeline.errors import ConfigError
from pipeline.execution.arguments import read_arguments

FRAME = pd.DataFrame({"x": [1], "y": [2]})


def read(source=None, data=None, target=None, resume=None, **keys):
    return read_arguments(source, data, target, resume, keys)


def test_a_frame_with_keys_of_the_config():
    request = read(
        FRAME, {"weight": "w"}, "y", models={"xgboost": {}}, split={"by": "time", "column": "d"},
        device="cpu", cluster="cores",
    )  # fmt: skip
    config = request.config
    assert request.frame is FRAME and config.name == "frame"
    assert (config.data.target, config.data.weight, config.device) == ("y", "w", "cpu")
    assert (config.split.by, config.split.column) == ("time", "d")
    assert config.cluster.kind == "cores" and dict(config.models) == {"xgboost": {}}
    assert read(FRAME, target=0).config.data.target == "0"  # as its column is called


@pytest.mark.parametrize("data", ["d/my file.csv", ["d/my file.csv"], Path("d/my file.csv")])
def test_data_and_target_are_those_of_the_command(data):
    request = read(data=data, target="y")
    assert request.frame is None and request.config.name == "my-file"
    assert request.config == Config.parse(
        {"name": "my-file", "data": {"path": ["d/my file.csv"], "target": "y"}}
    )


def test_keys_replace_those_of_a_file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("data: {path: a.csv, target: y, weight: w}\nmodels: {forest: {}}\n")
    for request in (
        read(path, data="b.csv", models={}),
        read(resume=tmp_path, data={"path": "b.csv"}, models={}),
    ):
        data = request.config.data
        assert (data.path, data.target, data.weight) == (("b.csv",), "y", "w")
        assert request.config.models == {}
    assert read(resume=tmp_path).config.data.path == ("a.csv",)


def test_only_the_caller_names_a_scheduler_on_another_host(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("data: {path: a.csv, target: y}\ncluster: tcp://far.example:8786\n")
    with pytest.raises(ConfigError, match="scheduler on another host"):
        read(path, seed=1)
    assert read(path, cluster="tcp://far.example:8786").config.cluster.kind.startswith("tcp")


@pytest.mark.parametrize(
    ("arguments", "message", "fix"),
    [
        ({"source": FRAME, "target": "y", "modles": {}}, "modles: unknown key", "'models'"),
        ({"source": FRAME, "target": "y", "split": {"colum": "d"}}, "split.colum", "column"),
        ({"source": FRAME}, "data.target: missing", "add it"),
        ({"data": "x.csv"}, "data.target: missing", "add it"),
        ({"source": FRAME, "data": "x.csv", "target": "y"}, "describes files", "either"),
        ({"source": FRAME, "data": {"csv": {}}, "target": "y"}, "data.csv describes", "either"),
        ({"source": FRAME, "target": "y", "data": {"wieght": "w"}}, "data.wieght", "'weight'"),
        ({}, "needs a config, a frame or data", "run\\(frame"),
        ({"source": Config.parse({"data": {"path": "a", "target": "y"}}), "device": "cpu"},
         "a Config is complete: device", "YAML"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(arguments, message, fix):
    with pytest.raises(ConfigError, match=message) as caught:
        read(**arguments)
    assert re.search(fix, caught.value.fix)
