"""Bad input of many kinds: its exit status, one short message that says what and where."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from bad_case import config

from pipeline.__main__ import run_command_line

GOOD_CSV = "a,b,y\n" + "".join(f"{i},{'xyz'[i % 3]},{i % 2}\n" for i in range(60))


# name: (files, config changes or whole text, status, what the message must say)
CASES = {
    "no such data file": ({}, {"data__path": "none.csv"}, 2, r"none\.csv"),
    "empty folder": ({"f/.keep": ""}, {"data__path": "f"}, 2, r"'?f'?.*(no|empty)"),
    "glob without a match": ({}, {"data__path": "*.parquet"}, 2, r"\*\.parquet"),
    "empty file": ({"d.csv": ""}, {}, 2, r"d\.csv.*empty"),
    "header only": ({"d.csv": "a,b,y\n"}, {}, 2, "no rows|no value"),
    "not parquet": ({"d.parquet": "hello"}, {"data__path": "d.parquet"}, 2, r"d\.parquet"),
    "no such scheme": ({}, {"data__path": "foo://x/d.csv"}, 2, "foo"),
    "missing extra": ({}, {"data__path": "gs://b/d.csv"}, 3, r"pipeline\[gcs\]"),
    "unknown target": ({}, {"data__target": "z"}, 2, "'z'"),
    "target is no expression": ({}, {"data__target": "y >"}, 2, "y >"),
    "target runs code": ({}, {"data__target": "__import__('os').system('x')"}, 2, "(?i)call|__import__"),
    "target has one value": ({"d.csv": "a,y\n" + "1,0\n" * 50}, {}, 2, "one value|single|only one"),
    "target all missing": ({"d.csv": "a,y\n" + "1,\n" * 50}, {}, 2, "missing|no value"),
    "positive class unknown": ({}, {"data__positive": 7}, 2, "positive"),
    "regression on text": ({}, {"data__target": "b", "data__task": "regression"}, 2, "regression"),
    "unknown weight": ({}, {"data__weight": "w"}, 2, r"data\.weight.*'w'"),
    "weight is text": ({}, {"data__weight": "b"}, 2, "weight"),
    "negative weight": (
        {"d.csv": "a,w,y\n" + "1,1,0\n2,-1,1\n" * 30}, {"data__weight": "w"}, 2, "weight.*invalid weights",
    ),
    "unknown split column": ({}, {"split": {"by": "time", "column": "q"}}, 2, "'q'"),
    "split by a text as time": ({}, {"split": {"by": "time", "column": "b"}}, 2, "not a time"),
    "split column with other words": (
        {}, {"split": {"by": "column", "column": "b"}}, 2, "train, valid",
    ),
    "missing time": (
        {"d.csv": "a,t,y\n" + "1,2024-01-01,0\n2,2024-02-01,1\n" * 30 + "3,,1\n"},
        {"split": {"by": "time", "column": "t"}}, 2, "'t'",
    ),
    "unknown op": ({}, {"features": [{"filll": {}}]}, 2, "did you mean 'fill'"),
    "unknown op parameter": (
        {}, {"features": [{"fill": {"columns": ["a"], "wiht": "mean"}}]}, 2, r"features\[0\]\.fill.*wiht",
    ),
    "two ops in one entry": ({}, {"features": [{"drop": ["a"], "keep": ["b"]}]}, 2, r"features\[0\]"),
    "unknown column in an op": (
        {}, {"features": [{"categorify": {"columns": ["bb"]}}]}, 2, r"features\[0\]\.categorify.*'bb'",
    ),
    "text left for the models": ({}, {"features": [{"fill": {"columns": ["a"], "with": 0}}]}, 2, "'b' is still text"),
    "op reads the target": (
        {}, {"features": [{"derive": {"c": "y * 2"}}, {"drop": ["b"]}]}, 2, "target is made of 'y'",
    ),
    "everything dropped": ({}, {"features": [{"drop": ["a", "b"]}]}, 2, "no column is left"),
    "arithmetic on text": ({}, {"features": [{"derive": {"c": "b * 2"}}]}, 2, "b \\* 2|text"),
    "bad regular expression": ({}, {"features": [{"drop": "re:("}]}, 2, "regular expression"),
    "unknown side table": ({}, {"features": [{"join": {"table": "t"}}]}, 2, "side table 't'"),
    "duplicate keys in a side table": (
        {"s.csv": "b,v\nx,1\nx,2\n"},
        {
            "data__tables": {"t": {"path": "s.csv", "keys": ["b"]}},
            "features": [{"join": {"table": "t"}}, {"categorify": {"columns": ["b"]}}],
        },
        2, "(?i)duplicate|more than once|twice",
    ),
    "side table without its key": (
        {"s.csv": "k,v\nx,1\n"},
        {"data__tables": {"t": {"path": "s.csv", "keys": ["b"]}}, "features": [{"join": {"table": "t"}}]},
        2, "'b'",
    ),
    "unknown model": ({}, {"models": {"lightgbm": {}}}, 2, "lightgbm"),
    "unknown model parameter": ({}, {"models__xgboost": {"max_dpeth": 3}}, 2, "did you mean 'max_depth'"),
    "bad model parameter": ({}, {"models__forest": {"trees": 0}}, 2, r"forest.*trees"),
    "no model": ({}, {"models": {"xgboost": None, "forest": None}}, 2, "model"),
    "monotone on unknown column": ({}, {"models__xgboost": {"monotone": {"zz": 1}}}, 2, "zz"),
    "unknown key": ({}, {"splitt": {}}, 2, "did you mean 'split'"),
    "wrong type of a key": ({}, {"seed": "abc"}, 2, "seed"),
    "not a mapping": ({}, "- a\n- b\n", 2, "mapping"),
    "not yaml": ({}, "a: [", 2, "line"),
    "python in yaml": ({}, "a: !!python/object/apply:os.system [ls]\n", 2, "constructor"),
    "unset variable": ({}, {"data__storage_options": {"key": "${NOT_SET_X}"}, "data__path": "s3://b/d.csv"}, 2, "NOT_SET_X"),
    "literal secret": ({}, {"data__storage_options": {"secret": "hunter2"}}, 2, r"\$\{NAME\}"),
    "ragged row": ({"d.csv": GOOD_CSV + "1,x\n"}, {}, 2, "line 62"),
    "too many fields": ({"d.csv": GOOD_CSV + "1,x,0,9\n"}, {}, 2, "line 62"),
    "number becomes text late": (
        {"d.csv": "a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(200_000)) + "oops,1\n"},
        {}, 2, r"line 200002.*'?a'?.*oops",
    ),
    "bad utf-8": ({"d.csv": f"{GOOD_CSV}1,éé,0\n".encode() + b"1,\xff,0\n"}, {}, 2, "UTF-8"),
    "duplicate column names": ({"d.csv": "a,a,y\n1,2,0\n3,4,1\n"}, {}, 2, "'a'"),
    "files with other columns": (
        {"f/1.csv": GOOD_CSV, "f/2.csv": "a,c,y\n1,x,0\n"}, {"data__path": "f"}, 2, r"2\.csv",
    ),
    "csv and parquet mixed": ({"f/1.csv": GOOD_CSV, "f/2.parquet": "x"}, {"data__path": "f"}, 2, "(?i)csv and parquet|mix"),
    "reserved column name": ({"d.csv": "__label__,y\n" + "1,0\n2,1\n" * 20}, {}, 2, "__label__"),
    "unknown type word": ({}, {"data__types": {"a": "int"}}, 2, r"data\.types\.a"),
    "type for an unknown column": ({}, {"data__types": {"zz": "integer"}}, 2, "zz"),
    "type that the values do not have": ({}, {"data__types": {"b": "integer"}}, 2, "line 2.*'b'|'b'"),
    "unknown slice column": ({}, {"evaluate__slices": ["zz"]}, 2, r"evaluate\.slices.*'zz'"),
    "filter on an unknown column": ({}, {"features": [{"filter": "zz > 1"}, {"drop": ["b"]}]}, 2, "zz"),
    "filter on a column that an op has replaced": (
        {}, {"features": [{"derive": {"a": "a * 2"}}, {"filter": "a > 1"}, {"drop": ["b"]}]}, 2,
        "'a' is made by an op before it",
    ),
    "filter that is a number": (
        {}, {"features": [{"filter": "a"}, {"drop": ["b"]}]}, 2, "filter: 'a' is int64, not true or false",
    ),
    "filter that is text": (
        {}, {"features": [{"filter": "b"}, {"drop": ["b"]}]}, 2, "filter: 'b' is text, not true or false",
    ),
    "filter that drops everything": (
        {}, {"features": [{"filter": "a > 1000"}, {"drop": ["b"]}]}, 2, "filters drop all 60 rows",
    ),
    "scheduler that is not there": (
        {}, {"cluster": {"kind": "tcp://127.0.0.1:9", "timeout": 1}}, (2, 3), "127.0.0.1:9",
    ),
    "gpu without one": ({}, {"device": "gpu"}, 3, "GPU"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_explained(case, tmp_path, monkeypatch, capsys):
    files, changes, status, message = CASES[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name, content in {"d.csv": GOOD_CSV, **files}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
    text = changes if isinstance(changes, str) else config(**changes)
    (tmp_path / "c.yaml").write_text(text)
    found = run_command_line(["run", "c.yaml", "--out", "run", "-q"])
    shown = capsys.readouterr()
    assert found in (status if isinstance(status, tuple) else (status,)), shown.err
    assert re.search(message, shown.err, re.S), shown.err
    assert "Traceback" not in shown.err
    assert shown.err.startswith("error: ") and shown.err.count("\n") <= 12
    assert shown.out == ""
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_there_are_at_least_25_kinds():
    assert len(CASES) >= 25


def test_an_out_folder_with_something_in_it_is_left_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_text(GOOD_CSV)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    arguments = ["run", "--data", "d.csv", "--target", "y", "--out", "run"]
    assert run_command_line(arguments) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine.txt"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    (folder / "d.csv").write_text(GOOD_CSV)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "c.yaml").write_text(config(features=[{"categorify": {"columns": ["b"]}}]))
        assert run_command_line(["run", "c.yaml", "--out", "run", "-q"]) == 0
    return folder


# name: (new file, content, further arguments, message)
NEW = {
    "a column is missing": ("n.csv", "a\n1\n", [], "'?b'?"),
    "a column is text now": ("n.csv", "a,b\noops,x\n", [], "oops"),
    "unknown model": ("n.csv", "a,b\n1,x\n", ["--model", "svm"], "svm"),
    "unknown kept column": ("n.csv", "a,b\n1,x\n", ["--keep", "zz"], "zz"),
    "unknown side table": ("n.csv", "a,b\n1,x\n", ["--table", "t=s.csv"], "'?t'?"),
    "side table without a path": ("n.csv", "a,b\n1,x\n", ["--table", "t"], "NAME=PATH"),
    "no file": ("other.csv", "a,b\n1,x\n", [], "n.csv"),
    "an empty file": ("n.csv", "", [], "empty"),
}


@pytest.mark.parametrize("case", NEW)
def test_bad_new_data_is_explained(case, finished, tmp_path, capsys):
    name, content, arguments, message = NEW[case]
    (tmp_path / name).write_text(content)
    out = tmp_path / "o.csv"
    found = run_command_line(
        ["predict", str(finished / "run"), str(tmp_path / "n.csv"), "--out", str(out), *arguments]
    )
    shown = capsys.readouterr()
    assert found == 2, shown.err
    assert re.search(message, shown.err), shown.err
    assert "Traceback" not in shown.err
    assert not list(tmp_path.glob("*o.csv*"))


def test_retyped_parquet_is_explained(finished, tmp_path, capsys):
    pd.DataFrame({"a": ["x", "y"], "b": np.arange(2)}).to_parquet(tmp_path / "n.parquet")
    arguments = ["predict", str(finished / "run"), str(tmp_path / "n.parquet"), "--out", "o.csv"]
    assert run_command_line(arguments) == 2
    assert "row 1, column 'a': 'x' is not an integer" in capsys.readouterr().err
