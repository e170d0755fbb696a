"""Workbooks give the same values as the CSV of the same frame."""

from __future__ import annotations

import sys

import numpy as np
import openpyxl
import pandas as pd
import pytest
from formats_input import make_frame, read

from pipeline.config.model import Config, Source
from pipeline.errors import ConfigError, MachineError, SchemaError
from pipeline.execution.runner import run
from pipeline.ingest.formats import convert
from pipeline.ingest.schema import infer_contract, match_contract
from pipeline.predict.batch import predict_files


def save(path, *rows, **sheets):
    """A workbook with the rows on its first sheet, and further sheets."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name, others in sheets.items():
        sheet = book.create_sheet(name)
        for row in others:
            sheet.append(row)
    book.save(path)
    return path


def test_values_are_those_of_csv(tmp_path):
    frame = make_frame()
    frame["flag"] = frame["b"]
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    frame.to_csv(tmp_path / "a.csv", index=False)
    found, contract = read(tmp_path / "a.xlsx")
    expected, _ = read(tmp_path / "a.csv")
    assert expected.dtypes.equals(found.dtypes)
    # Excel stores days and their fractions, to about a microsecond.
    found["time"] = found["time"].dt.round("ms")
    pd.testing.assert_frame_equal(found, expected)
    assert [str(n) for n in contract.notes] == ["Excel converted to CSV for this run"]


def test_words_and_money_are_read_as_in_csv(tmp_path):
    rows = [[n, f"${n}.50", "12.03.2024"] for n in range(20)]
    rows[3][0] = rows[8][0] = "?"
    found, contract = read(save(tmp_path / "a.xlsx", ["n", "price", "d"], *rows))
    assert [c.type for c in contract.columns] == ["integer", "float", "date"]
    assert found["n"].isna().sum() == 2
    assert found["price"].iloc[4] == 4.5
    assert {n.kind for n in contract.notes} >= {"format", "missing"}


def test_cells(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["n", "s"], [1, "a\nb"], [None, None], [1e17, "#N/A"], [-0.5, 'q"; \n,']):
        sheet.append(row)
    sheet["A6"], sheet["B6"] = "#DIV/0!", "last"
    sheet["A6"].data_type = "e"
    sheet["B20"].number_format = "0.00"  # formatted, but empty
    book.save(tmp_path / "a.xlsx")
    found, contract = read(tmp_path / "a.xlsx", csv={"delimiter": ";", "encoding": "cp1252"})
    assert contract.csv_dialect.delimiter == ","
    assert found["n"].tolist()[:3] == [1, 1e17, -0.5]
    assert found["n"].isna().tolist() == [False, False, False, True]
    assert found["s"].tolist()[0] == "a\nb"
    assert found["s"].tolist()[2:] == ['q"; \n,', "last"]


def test_dates_and_times_in_one_column(tmp_path):
    days = pd.to_datetime(["2024-01-01 00:00", "2024-01-02 12:30"])
    pd.DataFrame({"t": days, "x": 1}).to_excel(tmp_path / "a.xlsx", index=False)
    found, contract = read(tmp_path / "a.xlsx")
    assert contract.columns[0].type == "datetime"
    assert found["t"].tolist() == list(days)


def test_the_sheet_is_chosen(tmp_path):
    path = save(tmp_path / "a.xlsx", ["A title only"], big=[["x"], [1]], small=[["z"], [2]])
    contract = infer_contract(Source(path=str(path)))
    assert [c.name for c in contract.columns] == ["x"]
    assert str(contract.notes[1]) == (
        "sheet 'big' is read, not sheet 'small' (to change it: data.sheet: small)"
    )
    for sheet in ("small", 3):
        assert [c.name for c in read(path, sheet=sheet)[1].columns] == ["z"]
    with pytest.raises(ConfigError, match=r"data\.sheet[\s\S]*no sheet 'bog'[\s\S]*'big'"):
        read(path, sheet="bog")
    with pytest.raises(ConfigError, match="no sheet 4"):
        read(path, sheet=4)
    with pytest.raises(SchemaError, match="has no rows: sheet 'Sheet'"):
        read(path, sheet=1)
    new = save(tmp_path / "b.xlsx", ["x"], [5])
    source = Source(path=str(new), sheet="big")
    assert len(match_contract(contract, source, ["x"]).files) == 1


def test_what_is_not_a_workbook(tmp_path):
    (tmp_path / "a.xlsx").write_text("a,b\n1,2\n")
    with pytest.raises(SchemaError, match="not a readable workbook"):
        read(tmp_path / "a.xlsx")
    whole = save(tmp_path / "b.xlsx", ["x"], [5]).read_bytes()
    (tmp_path / "b.xlsx").write_bytes(whole[:-100])
    with pytest.raises(SchemaError, match="not a readable workbook"):
        read(tmp_path / "b.xlsx")


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    monkeypatch.setattr(convert, "_copies", {})
    with pytest.raises(MachineError, match=r'pip install "pipeline\[excel\]"'):
        read(save(tmp_path / "a.xlsx", ["x"], [5]))


def test_run_and_predict(tmp_path):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=600), "c": rng.choice(list("ab"), 600)})
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(600) % 90, "D")
    frame["y"] = frame.x + (frame.c == "a") + frame.day.dt.month
    frame.to_excel(tmp_path / "train.xlsx", index=False, sheet_name="Train")
    config = {
        "data": {"path": str(tmp_path / "train.xlsx"), "target": "y", "sheet": "Train"},
        "models": {"xgboost": {"rounds": 10}},
        "device": "cpu",
    }
    folder = run(Config.model_validate(config), out=tmp_path / "run").folder
    frame.drop(columns="y").to_csv(tmp_path / "new.csv", index=False)
    frame.drop(columns="y").to_excel(tmp_path / "new.xlsx", index=False)
    for kind in ("csv", "xlsx"):
        predict_files(folder, [str(tmp_path / f"new.{kind}")], tmp_path / f"{kind}.parquet")
    scores = [pd.read_parquet(tmp_path / f"{kind}.parquet") for kind in ("csv", "xlsx")]
    pd.testing.assert_frame_equal(*scores)
