"""Sizes that a run folder claims are checked before anything is read: memory stays under 1 GB."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import reseal

from pipeline.artifacts.files import write_text
from pipeline.errors import DataError, InputError
from pipeline.features.engine import fit, state_io
from pipeline.report import folder as folders

GB = 1 << 30
SPARSE = 6 * GB
ROWS = 20_000_000
"""Of 17 columns, 2.7 GB as the golden rows were read before."""
ROOT = Path(__file__).parents[2]


def repeat_first_row(path: Path, rows: int) -> None:
    """Writes a table of many rows that are all its first one: a few kilobytes a million."""
    one = pq.read_table(path).replace_schema_metadata(None).slice(0, 1)
    at_once = 1_000_000
    block = one.take(pa.array([0] * at_once))
    with pq.ParquetWriter(path, one.schema, write_statistics=False) as writer:
        for _ in range(rows // at_once):
            writer.write_table(block)


def ended(*lines: list[str]) -> list[tuple[str, int, int, float]]:
    """(last message, status, peak bytes so far, seconds) of each command line, in a child."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("opening.py"))],
        input=json.dumps(lines), text=True, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    found, said = [], ""
    for line in done.stderr.splitlines():
        if line.startswith('{"ended"'):
            found.append((said, *json.loads(line)["ended"]))
            said = ""
        else:
            said += line + "\n"
    assert len(found) == len(lines), done.stderr[-3000:]
    return found


@pytest.fixture(scope="module")
def repeated(made, tmp_path_factory):
    """Runs with golden rows, and with a table of features, of millions of equal rows."""
    found = {}
    for name, file in (
        ("golden", "golden.parquet"),
        ("table", "features/tables/09-tables-0.parquet"),
    ):
        run = shutil.copytree(made / "run", tmp_path_factory.mktemp("repeated") / name)
        repeat_first_row(run / file, ROWS)
        reseal(run, file)
        found[file] = run
    return found


def test_many_equal_rows_are_refused_before_they_are_read(made, repeated, tmp_path):
    data, out = str(made / "d.csv"), str(tmp_path / "o.csv")
    files = list(repeated)
    lines = [["predict", str(run), data, "--out", out] for run in repeated.values()]
    lines += [["audit", str(repeated[files[1]])]]
    for (said, status, peak, seconds), file in zip(ended(*lines), [*files, files[1]], strict=True):
        assert status == 2 and f"{file} claims 20,000,000 rows, at most" in said
        assert peak < GB and seconds < 60  # the imports too, on a machine with other work


SPARSE_FILES = {
    "manifest.json": ("predict", "report", "compare", "audit"),
    "config.yaml": ("predict", "report", "compare", "audit"),
    "features/plan.json": ("predict", "report", "compare", "audit"),
    "features/tables/00-history.parquet": ("predict", "audit"),
    "golden.parquet": ("predict",),
    "train/xgboost.json": ("predict", "report", "compare"),
    "train/xgboost.ubj": ("predict",),
    "train/forest.tl": ("forest",),
    "ingest/schema.json": ("predict", "report", "compare"),
    "evaluate/metrics.json": ("report", "compare"),
    "evaluate/curves.json": ("report", "compare"),
    "ledger.jsonl": ("report", "compare"),
    "gpu.json": ("report", "compare"),
    "audit.json": ("report", "compare"),
}


def test_a_file_of_gigabytes_is_refused_by_its_size(made, tmp_path):
    lines, names = [], []
    for name, commands in SPARSE_FILES.items():
        run = shutil.copytree(made / "run", tmp_path / name.replace("/", "-"))
        (run / name).touch()
        os.truncate(run / name, SPARSE)
        data = [str(made / "d.csv"), "--out", str(tmp_path / "o.csv")]
        asked = {
            "predict": ["predict", str(run), *data, "--model", "xgboost"],
            "forest": ["predict", str(run), *data, "--model", "forest"],
            "report": ["report", str(run)],
            "compare": ["compare", str(made / "run"), str(run)],
            "audit": ["audit", str(run)],
        }
        lines += [asked[command] for command in commands]
        names += [name for _ in commands]
    for (said, status, peak, seconds), name in zip(ended(*lines), names, strict=True):
        assert status == 2 and f"{name} is too large: 6,442,450,944 bytes" in said, said
        assert peak < GB and seconds < 60


def test_a_model_of_another_kind_is_refused_by_its_beginning(made, tmp_path):
    lines, names = [], {"xgboost": "train/xgboost.ubj", "forest": "train/forest.tl"}
    for model, name in names.items():
        run = shutil.copytree(made / "run", tmp_path / model)
        os.truncate(run / name, 0)
        os.truncate(run / name, GB)
        data = [str(made / "d.csv"), "--out", str(tmp_path / "o.csv")]
        lines.append(["predict", str(run), *data, "--model", model])
    for (said, status, peak, _), name in zip(ended(*lines), names.values(), strict=True):
        assert status == 2 and f"{name} is not a model of" in said
        assert peak < GB


def test_the_json_of_all_files_together_is_bounded(made, tmp_path, monkeypatch):
    run = shutil.copytree(made / "run", tmp_path / "run")
    sizes = [path.stat().st_size for path in run.rglob("*.json") if "stages" not in path.parts]
    monkeypatch.setattr(folders.manifests, "MAX_TEXT", max(sizes) + 100)
    assert sum(sizes) > max(sizes) + 100
    with pytest.raises(InputError, match="run is too large"):
        folders.read_run_folder(run)


def test_a_run_writes_no_more_than_it_reads(made, tmp_path, monkeypatch):
    plan = fit.load(made / "run" / "features")
    cells = sum(state_io.count_cells(step.state) for step in plan.steps)
    for most in (cells, cells - 1):
        monkeypatch.setattr(fit, "MAX_CELLS", most)
        if most == cells:
            fit.save(plan, tmp_path / "features")
            fit.load(tmp_path / "features")
            continue
        with pytest.raises(DataError, match=f"hold {cells} values, at most {most}"):
            fit.save(plan, tmp_path / "other")
        with pytest.raises(InputError, match=r"tables/09-tables-0\.parquet claims 3 rows, at most"):
            fit.load(tmp_path / "features")


def test_a_ledger_of_many_lines_is_bounded(made, tmp_path, monkeypatch):
    run = shutil.copytree(made / "run", tmp_path / "run")
    write_text(run / "ledger.jsonl", "1\n" * 10_000)
    reseal(run, "ledger.jsonl")
    monkeypatch.setattr(folders.manifests, "MAX_VALUES", 10_000)
    with pytest.raises(InputError, match="run is too large"):
        folders.read_run_folder(run)
