"""Conversions: once per process, as long as the file is the same, into a folder that is removed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from formats_input import make_frame, read

from pipeline.config.model import Config, Source
from pipeline.device import cpu
from pipeline.errors import DataError, MachineError, SchemaError
from pipeline.execution.runner import run
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.formats import convert
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract
from pipeline.predict.batch import predict_files

ROOT = Path(__file__).parents[3]


def write(path, frame):
    """JSON Lines of a frame; its path as text."""
    frame.to_json(path, orient="records", lines=True, date_format="iso")
    return str(path)


def test_a_file_is_converted_once_until_it_changes(tmp_path):
    path = write(tmp_path / "a.jsonl", make_frame(5))
    first, again = (infer_contract(Source(path=path)).files[0].converted for _ in range(2))
    assert first is again
    write(tmp_path / "a.jsonl", make_frame(6))
    assert len(read(path)[0]) == 6


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = write(tmp_path / "a.jsonl", make_frame(5))
    contract = infer_contract(Source(path=path))
    write(tmp_path / "a.jsonl", make_frame(6))
    with pytest.raises(DataError, match=r"a\.jsonl changed"):
        read_block(plan_blocks(contract)[0], contract, ["i"], cpu)


def test_a_copy_that_another_host_cannot_see(tmp_path):
    contract = infer_contract(Source(path=write(tmp_path / "a.jsonl", make_frame(5))))
    file = contract.files[0]
    gone = replace(file, converted=replace(file.converted, path=str(tmp_path / "gone.parquet")))
    block = plan_blocks(contract)[0]
    with pytest.raises(MachineError, match=r"a\.jsonl: its copy[\s\S]*TMPDIR"):
        read_block(block, replace(contract, files=(gone,)), ["i"], cpu)


def test_schema_json_names_no_copy(tmp_path):
    contract = infer_contract(Source(path=write(tmp_path / "a.jsonl", make_frame(5))))
    contract.write(tmp_path / "schema.json")
    assert "pipeline-converted" not in (tmp_path / "schema.json").read_text()
    assert Contract.read(tmp_path / "schema.json").files[0].path == contract.files[0].path


def test_folders(tmp_path):
    for day in (1, 2):
        (tmp_path / f"part={day}").mkdir()
        write(tmp_path / f"part={day}" / "a.jsonl", make_frame(3))
    found, contract = read(tmp_path)
    assert found["part"].tolist() == [1, 1, 1, 2, 2, 2]
    assert str(contract.notes[0]) == "2 files of JSON Lines converted to Parquet for this run"


def test_formats_are_not_mixed(tmp_path):
    write(tmp_path / "a.jsonl", make_frame(3))
    make_frame(3).to_csv(tmp_path / "b.csv")
    with pytest.raises(SchemaError, match="several formats are mixed"):
        read(tmp_path)


def test_a_full_disk_names_the_way_out(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    path = write(tmp_path / "a.jsonl", make_frame(3))
    monkeypatch.setattr("pipeline.ingest.formats.json_lines.write_parquet", fail)
    monkeypatch.setattr(convert, "_copies", {})
    with pytest.raises(MachineError, match=r"No space left[\s\S]*TMPDIR"):
        read(path)


def test_copies_are_removed_when_the_process_ends(tmp_path):
    path = write(tmp_path / "a.jsonl", make_frame(5))
    code = (
        "from pipeline.config.model import Source\n"
        "from pipeline.ingest.schema import infer_contract\n"
        f"print(infer_contract(Source(path={path!r})).files[0].converted.path)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    copy = Path(done.stdout.strip())
    assert copy.is_relative_to(tmp_path)
    assert not copy.parent.exists()


def test_run_resume_and_predict(tmp_path):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=600), "c": rng.choice(list("ab"), 600)})
    frame["y"] = (frame.x + (frame.c == "a") + rng.normal(size=600) / 4 > 0).astype(int)
    data = write(tmp_path / "train.jsonl", frame)
    config = Config.model_validate(
        {
            "data": {"path": data, "target": "y"},
            "models": {"xgboost": {"rounds": 10}},
            "device": "cpu",
        }
    )
    folder = run(config, out=tmp_path / "run").folder
    again = run(config, resume=folder)
    assert all("unchanged" in reason or "reused" in reason for reason in again.resumed.values()), (
        again.resumed
    )
    frame.drop(columns="y").to_csv(tmp_path / "new.csv", index=False)
    for name in (write(tmp_path / "new.jsonl", frame.drop(columns="y")), tmp_path / "new.csv"):
        predict_files(folder, [str(name)], tmp_path / f"{Path(name).suffix[1:]}.parquet")
    scores = [pd.read_parquet(tmp_path / f"{kind}.parquet") for kind in ("jsonl", "csv")]
    pd.testing.assert_frame_equal(*scores)
