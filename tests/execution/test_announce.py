"""The first line of a run names its data."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline import Config, run
from pipeline.execution.announce import describe_data
from pipeline.execution.job import prepare_job
from pipeline.execution.runner import Listener

FRAME = pd.DataFrame({"x": range(50), "y": [i % 2 for i in range(50)]})


def described(path, target="y"):
    return describe_data(prepare_job(Config.parse({"data": {"path": path, "target": target}})))


def test_a_csv_has_a_size_and_a_parquet_also_rows(tmp_path):
    FRAME.to_csv(tmp_path / "d.csv", index=False)
    size = (tmp_path / "d.csv").stat().st_size
    path = str(tmp_path / "d.csv")
    assert described(path) == f"data {path}: {size} B, 2 columns; target y"
    FRAME.to_parquet(tmp_path / "d.parquet")
    text = described(str(tmp_path / "d.parquet"), "y == 1")
    assert text.endswith("kB, 50 rows, 2 columns; target y == 1")


@pytest.mark.parametrize("several", [True, False])
def test_a_folder_and_a_list_are_counted(tmp_path, several):
    for i in range(4 if several else 1):
        FRAME.to_csv(tmp_path / f"{i}.csv", index=False)
    text = described(str(tmp_path))
    assert f"data {tmp_path}: {'4 files' if several else '1 file'} of " in text
    if several:
        names = [str(tmp_path / f"{i}.csv") for i in range(4)]
        assert described(names).startswith(f"data {', '.join(names[:3])}, … 1 more: 4 files of ")


def test_the_console_starts_with_it_and_passes_are_counted(tmp_path):
    FRAME.to_csv(tmp_path / "d.csv", index=False)
    tree = {
        "data": {"path": str(tmp_path / "d.csv"), "target": "y"}, "refit": "never", "device": "cpu",
        "models": {"forest": {"trees": 2}}, "cluster": {"dashboard_address": "127.0.0.1:0"},
    }  # fmt: skip
    lines, passes, pages = [], [], []
    listener = Listener(
        say=lines.append, passes=lambda *counts: passes.append(counts), pages=pages.append
    )
    run(Config.parse(tree), out=tmp_path / "run", listener=listener)
    assert lines[0].startswith(f"data {tmp_path / 'd.csv'}: ")
    assert [line.split()[0] for line in lines[1:3]] == ["run", "device"]
    assert not any("http" in line for line in lines), "the listener decides on the pages"
    assert list(pages[0]) == ["dashboard", "metrics"] and pages[1:] == [{}]
    assert passes and {count[1:] for count in passes} == {(1, 1)}
