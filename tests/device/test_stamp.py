"""The stamp of a passed self-test: when it counts, and that nothing else does."""

import json
import os
import sys
import time
from dataclasses import replace

import pytest
from fake_gpus import Fake, gpu

from pipeline.device import stamp
from pipeline.device.probe import probe_gpus
from pipeline.device.stamp import describe_machine, is_stamped, write_stamp

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a stamp needs the boot id")
PROBE = probe_gpus(Fake(), {})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pipeline"


@pytest.fixture
def machine():
    machine = describe_machine(PROBE)
    write_stamp(machine)
    assert is_stamped(machine)
    return machine


def the_file(folder):
    (path,) = folder.iterdir()
    return path


def test_free_memory_is_no_other_machine(machine):
    less = replace(PROBE, gpus=(replace(PROBE.gpus[0], free=5),))
    assert is_stamped(describe_machine(less))


@pytest.mark.parametrize(
    "other",
    [
        Fake(version="590.1"),
        Fake((gpu(uuid="GPU-other"),)),
        Fake((gpu(), gpu(1))),
    ],
    ids=["driver", "GPU", "one GPU more"],
)
def test_another_gpu_or_driver_is_tested(machine, other):
    assert not is_stamped(describe_machine(probe_gpus(other, {})))


def test_another_boot_library_or_interpreter_is_tested(machine, monkeypatch, tmp_path):
    (tmp_path / "boot_id").write_text("another\n")
    for change in (
        lambda m: m.setattr(stamp, "BOOT_ID", tmp_path / "boot_id"),
        lambda m: m.setattr(stamp, "find_versions", lambda names: {"cudf-cu13": "26.12.0"}),
        lambda m: m.setattr(sys, "prefix", "/another"),
        lambda m: m.setenv("LD_LIBRARY_PATH", "/another"),
    ):
        with monkeypatch.context() as m:
            change(m)
            assert not is_stamped(describe_machine(PROBE))
    assert is_stamped(describe_machine(PROBE))


@pytest.mark.parametrize(("age", "counts"), [(23 * 3600, True), (25 * 3600, False), (-60, False)])
def test_a_stamp_counts_for_a_day(machine, monkeypatch, age, counts):
    now = time.time() + age
    monkeypatch.setattr(time, "time", lambda: now)
    assert is_stamped(machine) is counts


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "7", '{"time": 1e999}', '{"time": "now", "machine": "MACHINE"}',
     '{"machine": "MACHINE"}', '{"time": NOW, "machine": "another"}', '{"time": NOW}', "[" * 60_000,
     "\udcff"],
)  # fmt: skip
def test_a_damaged_or_foreign_stamp_does_not_count(machine, folder, content):
    content = content.replace("NOW", str(time.time())).replace('"MACHINE"', json.dumps(machine))
    the_file(folder).write_bytes(content.encode(errors="surrogateescape"))
    assert not is_stamped(machine)


def test_a_link_or_the_stamp_of_another_user_does_not_count(machine, folder, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr(os, "geteuid", lambda: os.stat(folder).st_uid + 1)
        assert not is_stamped(machine)
    path = the_file(folder)
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")
    assert not is_stamped(machine)


def test_a_stamp_is_replaced_at_once_and_old_ones_go(machine, folder, monkeypatch):
    path = the_file(folder)
    (folder / "gpu-old.json").write_text("{}")
    os.utime(folder / "gpu-old.json", (1, 1))
    before = path.stat().st_ino
    write_stamp(machine)
    assert the_file(folder) == path and path.stat().st_ino != before

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", fail)
    write_stamp(machine)
    assert is_stamped(machine) and the_file(folder) == path


def test_no_folder_for_stamps_is_no_error(machine, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    write_stamp(machine)
    assert not is_stamped(machine)
    stamp.discard_stamps()


def test_a_relative_cache_folder_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "here"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert stamp.find_folder() == tmp_path / ".cache" / "pipeline"
