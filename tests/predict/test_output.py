"""The CSV of predictions: RFC 4180, and no formulas where that is asked for."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.errors import InputError
from pipeline.predict.batch import choose_block_bytes, predict_files
from pipeline.predict.writer import defuse_formulas, write

NASTY = [
    "a,b",
    'say "hi"',
    "two\nlines",
    "a\rreturn",
    "a\r\nboth",
    " blank ",
    "ünïcode 😀",
    "",
    None,
]


def table(texts, **more):
    numbers = list(range(len(texts)))
    return pa.table({"t": pa.array(texts, pa.string()), "prediction": numbers, **more})


def test_values_come_back_from_rfc_4180(tmp_path):
    rows = write(iter([table(NASTY), table(NASTY)]), tmp_path / "o.csv")
    assert rows == (18, 0)
    data = (tmp_path / "o.csv").read_bytes()
    assert data.startswith(b"t,prediction\r\n") and data.endswith(b",8\r\n")
    found = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    assert found[1:] == [[t or "", str(i)] for t, i in zip(NASTY, range(9), strict=True)] * 2
    assert pd.read_csv(tmp_path / "o.csv", keep_default_na=False)["t"][3] == "a\rreturn"


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "|x", "%0",
     "=HYPERLINK(\"http://x\",\"y\")", "\uff1d1+1", "-", "--5", "1.5-", "+", "-1.5e", "=-1"],
)  # fmt: skip
def test_a_formula_becomes_text(text):
    (found,) = defuse_formulas(pd.DataFrame({"t": pd.array([text], dtype="str")}))["t"]
    risky = text[0] not in "1"
    assert found == ("'" + text if risky else text)


@pytest.mark.parametrize(
    "text", ["-1.5", "+2", "1e-3", "-.5", "a=b", "x@y.z", "a-b", "'=1", "", "0"]
)
def test_numbers_and_plain_texts_stay(text):
    assert list(defuse_formulas(pd.DataFrame({"t": pd.array([text], dtype="str")}))["t"]) == [text]


def test_numbers_names_and_missing_values_in_a_safe_csv(tmp_path):
    more = {"n": pa.array([-1.5, None, 2.0]), "i": pa.array([-3, None, 4]), "=evil()": [1, 2, 3]}
    write(iter([table(["=1;=2", None, "-7"], **more)]), tmp_path / "o.csv", excel_safe=True)
    lines = (tmp_path / "o.csv").read_text().splitlines()
    assert lines[0] == '"t","prediction","n","i","\'=evil()"'
    assert lines[1:] == ['"\'=1;=2",0,-1.5,-3,1', '"",1,"","",2', '"-7",2,2.0,4,3']


def test_excel_safe_is_for_csv(tmp_path):
    with pytest.raises(InputError, match="--excel-safe is for CSV"):
        predict_files(tmp_path, ["d.csv"], tmp_path / "o.parquet", excel_safe=True)


def test_fewer_rows_of_many_classes_are_scored_at_a_time():
    assert choose_block_bytes(0) == choose_block_bytes(2) == choose_block_bytes(19) == 32 << 20
    assert choose_block_bytes(300) == (32 << 20) // 30
    assert choose_block_bytes(10_000) == 1 << 20
