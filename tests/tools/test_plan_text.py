"""What `plan` prints."""

from __future__ import annotations

import pytest

from pipeline.config.model import Config
from pipeline.tools.plan import describe_plan, print_plan


def test_a_plan_for_gpus_is_that_of_one_process_where_there_are_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(50)))
    tree = {"data": {"path": str(tmp_path / "d.csv"), "target": "y"}, "cluster": "gpus"}
    found = describe_plan(Config.parse(tree))
    assert found["cluster"]["asked"] == "gpus" and found["cluster"]["chosen"] == "process"
    print_plan(found)
    shown = " ".join(capsys.readouterr().out.split())
    assert "(in place of gpus: the run's device is the cpu)" in shown
    assert "kept in memory: the data are read once" in shown


@pytest.mark.parametrize(
    ("cluster", "rows"),
    [
        ("process", "kept in memory: the data are read once"),
        ("cores", "persisted on the workers if they have 0."),
    ],
)
def test_rows_are_where_the_cluster_has_them(tmp_path, capsys, cluster, rows):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(50)))
    tree = {"data": {"path": str(tmp_path / "d.csv"), "target": "y"}, "cluster": cluster}
    print_plan(describe_plan(Config.parse(tree)))
    shown = capsys.readouterr().out
    assert "50 rows in 1 file, 1 partition; 2 of 2 columns are read" in shown
    assert rows in shown
