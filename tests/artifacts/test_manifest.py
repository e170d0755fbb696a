"""A run's files are read through its manifest, inside its folder, and no further."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from manifest_facts import manifest_facts

from pipeline.artifacts import manifest
from pipeline.artifacts.files import is_in_use, lock_folder, read_json, write_manifest, write_text
from pipeline.errors import InputError

MODEL = "train/model.ubj"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    write_text(folder / MODEL, "model")
    write_text(folder / "golden.parquet", "rows")
    write_text(tmp_path / "secret.txt", "model")
    write_manifest(folder, manifest_facts())
    return folder


def relisted(run, **files):
    """The manifest with other names in it; the hash is that of secret.txt."""
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"] |= dict.fromkeys(files.values(), manifest["files"][MODEL])
    (run / "manifest.json").write_text(json.dumps(manifest))


def test_what_the_manifest_lists_is_read(run):
    found = manifest.open_run(run)
    assert found.read(run / MODEL) == b"model"
    assert all(found.read(run / name) for name in found.files)
    (run / "manifest.json").unlink()
    assert manifest.open_run(run) is None


def test_altered_missing_and_unlisted_files_are_refused_by_name(run):
    found = manifest.open_run(run)
    (run / MODEL).write_text("mode1")
    with pytest.raises(InputError, match=r"train/model\.ubj was altered"):
        found.read(run / MODEL)
    (run / MODEL).unlink()
    with pytest.raises(InputError, match=r"train/model\.ubj is missing"):
        found.read(run / MODEL)
    (run / "train" / "other.ubj").write_text("x")
    with pytest.raises(InputError, match=r"other\.ubj is not in the run's manifest"):
        found.read(run / "train" / "other.ubj")


def test_what_is_read_is_what_was_hashed(run, monkeypatch):
    """Whoever swaps the file after the check swaps nothing: it is read once."""
    found, opened = manifest.open_run(run), []
    real = os.open

    def watched(path, *args, **kwargs):
        opened.append(str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(manifest.os, "open", watched)
    assert found.read(run / MODEL) == b"model"
    assert opened.count("model.ubj") == 1


@pytest.mark.parametrize("name", ["../secret.txt", "train/../../secret.txt", "/etc/passwd", "a\0b"])
def test_names_that_lead_out_of_the_run_are_refused(run, name):
    relisted(run, name=name)
    with pytest.raises(InputError, match="outside its folder"):
        manifest.open_run(run)
    with pytest.raises(InputError, match="outside its folder"):
        manifest.read_within(run, name)


@pytest.mark.parametrize("where", ["file", "folder", "manifest"])
def test_links_are_not_followed(run, where):
    outside = run.parent / "elsewhere"
    if where == "file":
        (run / MODEL).unlink()
        (run / MODEL).symlink_to(run.parent / "secret.txt")  # of the right hash
    elif where == "folder":
        (run / "train").rename(outside)
        (run / "train").symlink_to(outside)
    else:
        (run / "manifest.json").rename(outside)
        (run / "manifest.json").symlink_to(outside)
    with pytest.raises(InputError, match="is a link, or is reached through one"):
        manifest.open_run(run).read(run / MODEL)
    with pytest.raises(InputError, match="is a link"):
        manifest.refuse_special_files(run)


def test_a_run_may_itself_be_reached_through_a_link(run):
    link = run.parent / "link"
    link.symlink_to(run)
    assert manifest.open_run(link).read(link / MODEL) == b"model"


def test_pipes_and_folders_are_no_files(run):
    (run / MODEL).unlink()
    os.mkfifo(run / MODEL)
    with pytest.raises(InputError, match="is not a regular file"):  # and nobody waits for a writer
        manifest.open_run(run).read(run / MODEL)
    (run / MODEL).unlink()
    (run / MODEL).mkdir()
    with pytest.raises(InputError, match="is not a regular file"):
        manifest.open_run(run).read(run / MODEL)


@pytest.mark.parametrize(
    "text", ["[]", '{"files": []}', '{"files": {"a": 1}}', "{", "[" * 10**6, "1" * 5000]
)
def test_a_manifest_that_is_none_is_refused(run, text):
    (run / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json"):
        manifest.open_run(run)


def test_json_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "MAX_VALUES", 10)
    (tmp_path / "a.json").write_text(json.dumps(list(range(20))))
    with pytest.raises(InputError, match="too large"):
        read_json(tmp_path / "a.json")
    monkeypatch.setattr(manifest, "MAX_TEXT", 10)
    (tmp_path / "manifest.json").write_text(" " * 20)
    with pytest.raises(InputError, match="too large"):
        manifest.open_run(tmp_path)


def test_files_that_do_not_fit_together_are_the_inputs_fault():
    for error in (KeyError("a"), TypeError("b"), RecursionError("c")):
        with (
            pytest.raises(InputError, match="do not fit together"),
            manifest.report_misfits(Path("run")),
        ):
            raise error
    with pytest.raises(OSError, match="as it is"), manifest.report_misfits(Path("run")):
        raise OSError("as it is")


def test_no_lock_is_written_through_a_link(run):
    victim = run.parent / "secret.txt"
    (run / ".lock").symlink_to(victim)
    with pytest.raises(InputError, match="is a link"), lock_folder(run):
        pass
    assert not is_in_use(run)
    assert victim.read_text() == "model"


def test_nothing_is_written_through_a_link_that_waits_for_it(run):
    victim = run.parent / "secret.txt"
    for name in (f".a.txt.{os.getpid()}.tmp", "a.txt"):
        (run / name).symlink_to(victim)
    write_text(run / "a.txt", "new")
    assert victim.read_text() == "model" and not (run / "a.txt").is_symlink()
    assert (run / "a.txt").read_text() == "new"
