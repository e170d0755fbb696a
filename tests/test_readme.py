"""What the README shows is true: its config prepares, its files and commands are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
import yaml

from pipeline.cli.app import app
from pipeline.config.model import Config
from pipeline.execution.job import prepare_job
from pipeline.features.registry import REGISTRY

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_the_config_prepares(monkeypatch):
    monkeypatch.chdir(ROOT)
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    job = prepare_job(Config.parse(yaml.safe_load(block)))
    assert set(job.models) == {"xgboost", "forest"}


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", TEXT))))
def test_linked_files_are_there(link):
    assert (ROOT / link).exists()


def test_every_command_and_op_is_named():
    for command in typer.main.get_command(app).commands:
        assert re.search(rf"`{command}[ `]", TEXT), command
    for op in REGISTRY:
        assert f"`{op}`" in TEXT, op
