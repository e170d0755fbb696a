"""Files are complete or not there, and are what the manifest says."""

from __future__ import annotations

import json

import pytest

from pipeline.artifacts.files import atomic_write, read_json, write_json, write_manifest, write_text
from pipeline.errors import InputError, MachineError


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_write(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_a_machine_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "x")


@pytest.fixture
def run(tmp_path):
    write_text(tmp_path / "train" / "model.ubj", "model")
    write_text(tmp_path / "log.txt", "grows")
    write_manifest(tmp_path, {"name": "x"})
    return tmp_path


def test_manifest_lists_artefacts_only(run):
    assert list(json.loads((run / "manifest.json").read_text())["files"]) == ["train/model.ubj"]


def test_damaged_json_is_an_input_error(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a": \xff')
    with pytest.raises(InputError, match="not JSON"):
        read_json(tmp_path / "a.json")
