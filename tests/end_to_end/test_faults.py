"""Disks that are full or read-only, inputs that vanish or grow: a clear end, and a run that goes on."""

from __future__ import annotations

import os
import subprocess
from copy import deepcopy

import pytest
from killable import small_config

from pipeline import Config, run
from pipeline.__main__ import run_command_line
from pipeline.errors import DataError, InputError, MachineError
from pipeline.execution.runner import Listener


def mounted(folder, options):
    """Whether a small disk of its own could be put there; on this machine or in a container."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A folder that is a disk of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or not mounted(folder, "size=200k"):
        pytest.skip("mounting needs root, and the capability for it")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def remounted(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def one_model(tmp_path, **changes):
    tree = small_config(tmp_path, refit="never", **changes)
    return {**tree, "models": {**tree["models"], "forest": None}}


def test_a_full_disk_ends_the_run_and_what_had_finished_is_kept(tmp_path, disk):
    ballast = disk / "ballast"
    tree = one_model(tmp_path)

    def stage(entry, ended):
        if not ended and entry.stage == "train xgboost":
            with ballast.open("wb") as file, pytest.raises(OSError, match="No space"):
                for _ in range(1000):
                    file.write(b"x" * 1000)
                    file.flush()

    with pytest.raises(MachineError, match="No space left on device") as caught:
        run(Config.parse(deepcopy(tree)), out=disk / "run", listener=Listener(stage=stage))
    assert caught.value.__notes__ == [
        f"resume with: python -m pipeline run --resume {disk / 'run'}"
    ]
    assert not [p for p in (disk / "run").rglob("*.tmp") if p.is_file()]
    ballast.unlink()
    remounted(disk, "size=50m")
    done = run(Config.parse(deepcopy(tree)), resume=disk / "run")
    assert done.resumed["features"].startswith("reused")
    assert done.resumed["train xgboost"].startswith("recomputed")


def test_a_read_only_folder_is_the_machines_fault(tmp_path, disk, capsys):
    (disk / "run").mkdir()
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(50)))
    remounted(disk, "ro")
    for option in (["--out", str(disk / "run")], ["--out", str(disk / "new")]):
        arguments = ["run", "--data", str(tmp_path / "d.csv"), "--target", "y", "-q", *option]
        assert run_command_line(arguments) == 3
        told = capsys.readouterr().err
        assert "Read-only file system" in told and "Traceback" not in told
    remounted(disk, "rw")


@pytest.mark.parametrize("fault", ["vanishes", "grows"])
def test_an_input_that_changes_ends_the_run_which_can_go_on(tmp_path, fault):
    tree = one_model(tmp_path)
    path = tmp_path / "d.csv"
    content = path.read_bytes()

    def planned(plan, rows):
        if fault == "vanishes":
            path.unlink()
        else:
            path.write_bytes(content + content.split(b"\n")[1] + b"\n")

    with pytest.raises(DataError, match="d.csv (vanished|changed) while") as caught:
        run(Config.parse(deepcopy(tree)), out=tmp_path / "run", listener=Listener(planned=planned))
    assert (caught.value.status, InputError.status) == (2, 2)
    assert "--resume" in caught.value.__notes__[0]
    assert (tmp_path / "run" / "config.yaml").exists()


def test_a_file_that_grows_while_a_block_is_read_is_noticed(tmp_path, monkeypatch):
    from pipeline.device import cpu
    from pipeline.ingest import read_block
    from pipeline.ingest.blocks import plan_blocks
    from pipeline.ingest.schema import infer_contract

    small_config(tmp_path)
    path = tmp_path / "d.csv"
    contract = infer_contract(Config.parse({"data": {"path": str(path), "target": "y"}}).data)
    read_range = read_block.read_range

    def grown(*arguments):
        with path.open("a") as file:
            file.write("1,2,a,1\n")
        return read_range(*arguments)

    monkeypatch.setattr(read_block, "read_range", grown)
    (block,) = plan_blocks(contract)
    with pytest.raises(DataError, match="changed while the run was reading it"):
        read_block.read_block(block, contract, ["x"], cpu)
