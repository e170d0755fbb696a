"""Run folders: new ones, never shared; given ones only when absent or empty."""

from __future__ import annotations

import pytest

from pipeline import Config, runner
from pipeline.device.choose import frames_of
from pipeline.errors import InputError, MachineError


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [runner.run_folder("x", None) for _ in range(20)]
    assert len(set(folders)) == 20
    assert all(folder.is_dir() for folder in folders)


def test_a_given_folder_must_be_absent_or_empty(tmp_path):
    assert runner.run_folder("x", tmp_path / "a" / "b").is_dir()
    assert runner.run_folder("x", tmp_path / "a" / "b").is_dir()
    with pytest.raises(InputError, match="is not empty"):
        runner.run_folder("x", tmp_path / "a")


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot be made.*file"):
        runner.run_folder("x", tmp_path / "file" / "run")


def test_the_device_is_not_touched_before_the_cluster_is_there(tmp_path, monkeypatch):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(50)))

    def connected(*_):
        assert frames_of.cache_info().currsize == 0  # on a GPU it makes a CUDA context
        raise MachineError("so far")

    monkeypatch.setattr(runner, "connected", connected)
    frames_of.cache_clear()
    config = Config.parse({"data": {"path": str(tmp_path / "d.csv"), "target": "y"}})
    with pytest.raises(MachineError, match="so far"):
        runner.run(config, out=tmp_path / "run")


def test_a_cluster_that_is_not_for_the_device_leaves_no_folder(tmp_path):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(50)))
    tree = {"data": {"path": str(tmp_path / "d.csv"), "target": "y"}, "device": "cpu"}
    with pytest.raises(InputError, match=r"cluster\.kind: gpus"):
        runner.run(Config.parse({**tree, "cluster": "gpus"}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
