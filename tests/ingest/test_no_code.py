"""Data that carry code: nothing of it is run, whatever a library would do with it."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.__main__ import run_command_line

QUICK = ["--set", "models={xgboost: {rounds: 2}}", "--set", "refit=never", "--no-dashboard", "-q"]


def pickled(path):
    """What unpickles by making a file: ``os.mkdir(path)``, as the bytes of protocol 0."""
    return f"cposix\nmkdir\n(V{path}\ntR.".encode()


def test_the_bytes_would_run_if_they_were_unpickled(tmp_path):
    import pickle

    pickle.loads(pickled(tmp_path / "ran"))
    assert (tmp_path / "ran").is_dir()


@pytest.mark.parametrize("name", ["arrow.py_extension_type", "pandas.period", "arrow.opaque"])
def test_extension_types_of_arrow_are_not_unpickled(tmp_path, name):
    field = pa.field("e", pa.int64(), metadata={
        "ARROW:extension:name": name,
        "ARROW:extension:metadata": pickled(tmp_path / "ran"),
    })  # fmt: skip
    schema = pa.schema([field, pa.field("x", pa.int64()), pa.field("y", pa.int64())],
                       metadata={"pandas": pickled(tmp_path / "ran")})  # fmt: skip
    values = pa.array([1, 2] * 40)
    pq.write_table(pa.table([values, pa.array(range(80)), values], schema), tmp_path / "d.parquet")
    run = ["run", "--data", str(tmp_path / "d.parquet"), "--target", "y", "--out",
           str(tmp_path / "run"), *QUICK]  # fmt: skip
    assert run_command_line(run) in (0, 2)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir [{0}/ran]",
        "!!python/object/new:os.mkdir [{0}/ran]",
        "!!python/name:os.mkdir",
        "data: {{path: d.csv, target: \"__import__('os').mkdir('{0}/ran')\"}}",
        "data: {{path: d.csv, target: y}}\nfeatures: [{{derive: {{a: \"open('{0}/ran', 'w')\"}}}}]",
        'data: {{path: d.csv, target: y}}\nfeatures: [{{filter: "(lambda: 1)()"}}]',
        'data: {{path: d.csv, target: "[c for c in ().__class__.__base__.__subclasses__()]"}}',
        "data: {{path: '| mkdir {0}/ran', target: y}}",
        "data: {{path: '$(mkdir {0}/ran)', target: y}}",
    ],
)
def test_no_config_runs_anything(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_text("x,y\n1,0\n2,1\n" * 30)
    (tmp_path / "c.yaml").write_text(text.format(tmp_path))
    assert run_command_line(["run", "c.yaml", "--out", "run", *QUICK]) == 2
    assert not os.path.exists("ran") and not os.path.exists("run/manifest.json")


@pytest.mark.parametrize(
    "text",
    ["(" * 1000 + "x" + ")" * 1000, "-" * 1900 + "x", "x" + "+x" * 900, "not " * 450 + "x",
     "x in [" + "1," * 950 + "]", "9" * 1900, "x" * 5000, "x ** 9 ** 9 ** 9 ** 9", "`" + "a" * 1900 + "`"],
)  # fmt: skip
def test_deep_and_long_expressions_end_at_once(tmp_path, text, capsys):
    (tmp_path / "d.csv").write_text("x,y\n1,0\n2,1\n" * 30)
    (tmp_path / "c.yaml").write_text(f"data: {{path: {tmp_path}/d.csv, target: '{text}'}}\n")
    assert run_command_line(["plan", str(tmp_path / "c.yaml")]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(.*a){20}", "((a{1,9}){1,9}){1,9}$"])
def test_patterns_take_no_longer_than_their_text(tmp_path, pattern, capsys):
    """Python's own regular expressions would take years of these."""
    (tmp_path / "d.csv").write_text("a" * 60 + "!,y\n" + "1,0\n2,1\n" * 30)
    (tmp_path / "c.yaml").write_text(
        f"data: {{path: {tmp_path}/d.csv, target: y}}\nfeatures: [{{drop: 're:{pattern}'}}]\n"
    )
    assert run_command_line(["plan", str(tmp_path / "c.yaml")]) == 2
    assert re_error(capsys.readouterr().err)


def re_error(told):
    return "selects nothing" in told or "not a regular expression" in told or "no column" in told


def test_look_around_is_refused_with_a_way_out(tmp_path, capsys):
    (tmp_path / "d.csv").write_text("a,y\n" + "1,0\n2,1\n" * 30)
    config = f"data: {{path: {tmp_path}/d.csv, target: y}}\nfeatures: [{{drop: 're:(?!a)'}}]\n"
    (tmp_path / "c.yaml").write_text(config)
    assert run_command_line(["plan", str(tmp_path / "c.yaml")]) == 2
    told = capsys.readouterr().err
    assert "not a regular expression of RE2" in told and "look-around" in told
