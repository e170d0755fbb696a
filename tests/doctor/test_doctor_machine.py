"""The machine without its GPUs, and the limits of its container."""

import socket
from pathlib import Path

import pytest

from pipeline.doctor import machine
from pipeline.doctor.limits import Limits, read_limits

GIB = 2**30


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_limits_of_a_container_of_version_2(tmp_path):
    write(tmp_path, {
        "cgroup.controllers": "cpu memory pids\n", "own": "1:name=systemd:/\n0::/\n",
        "memory.max": f"{8 * GIB}\n", "memory.current": f"{5 * GIB}\n",
        "memory.stat": f"anon 1\ninactive_file {2 * GIB}\n", "cpu.max": "150000 100000\n",
        "pids.max": "512\n", "pids.current": "300\n",
    })  # fmt: skip
    found = read_limits(tmp_path, tmp_path / "own")
    assert (found.memory, found.memory_used, found.cores) == (8 * GIB, 3 * GIB, 1.5)
    assert (found.processes, found.processes_used) == (512, 300)
    assert found.files is None or found.files > 0


def test_the_tightest_group_above_counts(tmp_path):
    write(tmp_path, {
        "cgroup.controllers": "", "own": "0::/a/b\n", "a/memory.max": f"{4 * GIB}\n",
        "a/memory.current": "9\n", "a/b/memory.max": f"{6 * GIB}\n", "a/b/memory.current": "7\n",
        "a/b/cpu.max": "max 100000\n", "a/cpu.max": "400000 100000\n", "a/b/pids.max": "max\n",
    })  # fmt: skip
    found = read_limits(tmp_path, tmp_path / "own")
    assert (found.memory, found.memory_used, found.cores) == (4 * GIB, 9, 4.0)
    assert found.processes is None


def test_limits_of_a_container_of_version_1(tmp_path):
    write(tmp_path, {
        "memory/memory.limit_in_bytes": f"{GIB}\n", "memory/memory.usage_in_bytes": "100\n",
        "memory/memory.stat": "total_inactive_file 40\n", "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n", "pids/pids.max": "max\n",
    })  # fmt: skip
    found = read_limits(tmp_path)
    assert (found.memory, found.memory_used, found.cores, found.processes) == (GIB, 60, None, None)
    (tmp_path / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert read_limits(tmp_path).memory is None


def test_without_cgroups_there_are_no_limits(tmp_path):
    assert read_limits(tmp_path, tmp_path / "own").memory is None


@pytest.mark.parametrize(
    ("limits", "status", "detail", "fix"),
    [
        (Limits(), "ok", "no limit of a container", ""),
        (Limits(cores=1.5, processes=4096, files=20_000), "ok",
         "at most 1.5 cores, 4,096 processes and threads, 20,000 open files", ""),
        (Limits(processes=512, processes_used=400), "warn", "112 processes and threads are left", "--pids-limit"),
        (Limits(files=256), "warn", "256 open files", "ulimit -n"),
    ],
)  # fmt: skip
def test_limits_that_are_too_tight(limits, status, detail, fix):
    finding = machine.check_limits(limits)
    assert finding.status == status
    assert detail in finding.detail and fix in finding.fix


def test_memory_is_the_containers():
    finding = machine.check_memory(Limits(memory=3 * GIB, memory_used=2 * GIB))
    assert finding.detail.startswith("3.0 GiB, 1.0 GiB of it free (container limit")
    assert finding.status == "warn"


def test_a_taken_port_and_an_unwritable_folder(tmp_path, monkeypatch):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        taken = busy.getsockname()[1]
        assert machine.check_dashboard_port(taken).status == "warn"
        assert f"tcp://HOST:{taken}" in machine.check_scheduler_port(taken).detail
    monkeypatch.setattr(machine.os, "access", lambda *_: False)
    assert machine.check_disk(tmp_path / "a" / "b").status == "fail"


def test_shared_memory_is_for_several_processes(tmp_path, monkeypatch):
    assert machine.check_shared_memory(path=Path("/no/such/folder")).status == "ok"
    monkeypatch.setattr(
        machine.shutil, "disk_usage", lambda _: type("Usage", (), {"total": 64 * 2**20})
    )
    assert "only clusters" in machine.check_shared_memory(1, tmp_path).fix
    assert "NCCL" in machine.check_shared_memory(2, tmp_path).fix
