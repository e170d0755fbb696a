"""What `plan` prints."""

from __future__ import annotations

import pytest

from pipeline.config.model import Config
from pipeline.tools.plan import PARTS, describe_plan, print_plan, tabulate_stages


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


def wide_plan(tmp_path):
    """A plan whose stages have memory of every part, with sizes of up to hundreds of GB."""
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(50)))
    plan = describe_plan(Config.parse({"data": {"path": str(tmp_path / "d.csv"), "target": "y"}}))
    for number, stage in enumerate(plan["memory"]["stages"]):
        stage["parts"] = {
            name: (number + 1) * 20_000_000_000 + 10**i for i, name in enumerate(PARTS)
        }
        stage["host"] = sum(stage["parts"].values())
    return plan


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_of_a_plan_is_longer_than_the_terminal_or_cut_off(
    tmp_path, capsys, monkeypatch, width
):
    monkeypatch.setenv("COLUMNS", str(width))
    plan = wide_plan(tmp_path)
    print_plan(plan)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width and "…" not in shown.split("memory, GB")[1]
    assert ("other" in shown) == (width < 100)
    heads, *lines = tabulate_stages(plan["memory"]["stages"], "parts", "host", width)
    for line, stage in zip(lines, plan["memory"]["stages"], strict=True):
        assert line[0] == stage["stage"] and line[-1] == f"{stage['host'] / 1e9:.2f}"
        # the parts still add up to the peak
        assert sum(map(float, line[2:-1])) == pytest.approx(stage["host"] / 1e9, abs=0.1)
    assert heads[-1] == "peak" and heads[:2] == ["stage", "passes"]


def test_a_plan_that_fits_shows_every_part(tmp_path):
    plan = wide_plan(tmp_path)
    heads = tabulate_stages(plan["memory"]["stages"], "parts", "host", 120)[0]
    assert [head.replace("\n", " ") for head in heads] == [
        "stage",
        "passes",
        *PARTS.values(),
        "peak",
    ]
