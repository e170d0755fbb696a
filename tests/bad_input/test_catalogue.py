"""The catalogue of bad inputs: each ends with its status and one short message; nothing is left."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from bad_case import DONE, GOOD, Case
from bad_commands import COMMANDS
from bad_config import CONFIGS
from bad_csv import FILES, SPLITS, TARGETS, TEXTS, VALUES
from bad_new_data import NEW_DATA
from bad_parquet import PARQUET
from bad_runs import RUNS
from bad_tables import TABLES

from pipeline.__main__ import run_command_line
from pipeline.errors import MAX_EXAMPLES

KINDS = {
    "config": CONFIGS, "files": FILES, "csv": TEXTS, "values": VALUES, "target": TARGETS,
    "split": SPLITS, "parquet": PARQUET, "side table": TABLES, "new data": NEW_DATA,
    "run folder": RUNS, "command line": COMMANDS,
}  # fmt: skip
CATALOGUE = {
    f"{kind}: {name}": case for kind, cases in KINDS.items() for name, case in cases.items()
}
MAX_LINES = 12


def test_the_catalogue_has_at_least_80_entries():
    assert len(CATALOGUE) >= 80


def finished(folder: Path) -> Path:
    """The folder of a finished run of `DONE`, made in this folder."""
    for name, content in DONE.items():
        (folder / name).write_text(content)
    with contextlib.chdir(folder):
        assert run_command_line(["run", "c.yaml", "--out", "done", "-q", "--json"]) == 0
    return folder / "done"


def made(case: Case, folder: Path, done: Path) -> None:
    if case.done:
        shutil.copytree(done, folder / "done")
    for name, content in {"d.csv": GOOD, "c.yaml": case.config_file(), **case.files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())


def listing(folder: Path) -> dict[str, str]:
    """The hash of each file below the folder."""
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def check_message(text: str) -> None:
    """One message, short enough to read, and no traceback."""
    assert text.startswith("error: ") and text.count("error: ") == 1, text
    assert text.count("\n") <= MAX_LINES, text
    examples = [
        line
        for line in text.splitlines()
        if re.match("  (?!Fix:|go on with|resume with)[^… ]", line)
    ]
    assert len(examples) <= MAX_EXAMPLES, text
    assert "Traceback" not in text and "this is a bug" not in text, text
    assert max(map(len, text.splitlines())) < 600, text


def check_files(before: dict[str, str], folder: Path) -> None:
    """What was there is unchanged; of a run that began there is what tells how far it came."""
    after = listing(folder)
    assert {name: after.get(name) for name in before} == before
    new = {name for name in after if name not in before}
    outside = {name for name in new if not name.startswith("run/")}
    assert not outside
    parts = [part for name in new for part in name.split("/")]
    assert "manifest.json" not in parts and "report.html" not in parts
    assert not [p for p in parts if p.startswith(".") or p.endswith(".tmp") or p == "tmp"], new
    for name in new:
        if name.endswith(".json"):
            json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("finished"))


@pytest.mark.parametrize("case", CATALOGUE)
def test_bad_input_is_refused_with_one_message(case, done, tmp_path, monkeypatch, capsys):
    found = CATALOGUE[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("pipeline.config.loader._secrets", {})  # by an earlier test
    # a run of seconds saves by it, hundreds of runs of milliseconds pay for it
    monkeypatch.setattr("pipeline.execution.runner.freeze_objects", contextlib.nullcontext)
    made(found, tmp_path, done)
    before = listing(tmp_path)
    status = run_command_line(list(found.command))
    shown = capsys.readouterr()
    assert status == found.status, shown.err
    assert shown.out == ""
    check_message(shown.err)
    for pattern in found.says:
        assert re.search(pattern, shown.err, re.S), (pattern, shown.err)
    check_files(before, tmp_path)
