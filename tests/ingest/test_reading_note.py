"""Notes on reading: their text, and their way through ``schema.json``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pipeline.config.model import Source
from pipeline.ingest.contract import Contract
from pipeline.ingest.reading_note import ReadingNote, merge_notes
from pipeline.ingest.schema import infer_contract

FILE = ReadingNote("encoding", "read as cp1252", change="data.csv.encoding: latin-1")
COLUMN = ReadingNote("missing", "`?` is read as missing in 3 of 200 sampled rows", "age")


def test_text_names_the_column_and_the_config_that_changes_it() -> None:
    assert str(FILE) == "read as cp1252 (to change it: data.csv.encoding: latin-1)"
    assert str(COLUMN) == "age: `?` is read as missing in 3 of 200 sampled rows"


def test_merged_notes_keep_their_order_and_occur_once() -> None:
    assert merge_notes([FILE], [COLUMN, FILE]) == (FILE, COLUMN)


def test_contract_keeps_its_notes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    contract = infer_contract(Source(path=(str(tmp_path / "a.csv"),)))
    contract = replace(contract, notes=(FILE, COLUMN))
    contract.write(tmp_path / "schema.json")
    assert Contract.read(tmp_path / "schema.json") == contract


def test_contract_of_an_older_run_has_no_notes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    infer_contract(Source(path=(str(tmp_path / "a.csv"),))).write(tmp_path / "schema.json")
    data = json.loads((tmp_path / "schema.json").read_text())
    del data["notes"]
    assert Contract.from_json(data).notes == ()
