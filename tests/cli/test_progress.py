"""Progress: a line per stage, the share and the time left of the current one, and the dashboard."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from pipeline.artifacts.ledger import Entry
from pipeline.cli import progress
from pipeline.cli.progress import PageLine, StageProgress, format_duration, format_stage


def entry(rows, **changes):
    return Entry("split", "auto", "cpu", "no GPU", rows=rows, seconds=0.5, **changes)


@pytest.mark.parametrize(
    ("rows", "text"), [(0, "0 rows "), (1, "1 row  "), (336_776, "336,776 rows")]
)
def test_one_row_is_singular_and_columns_stay_aligned(rows, text):
    (line,) = format_stage(entry(rows), verbose=False)
    assert text in line and line.index("0.50 s") == 40
    assert format_stage(entry(1, notes=["a note"]), verbose=True)[1] == "  a note"


def test_the_share_and_the_time_left_of_a_training():
    stage = StageProgress("train xgboost", begun=100.0)
    assert stage.describe(103.4) == "train xgboost · 3 s"
    stage.count("round 1", 1, 101, 104.0, starts=True)
    assert stage.describe(104.0) == "train xgboost 1% · 4 s · round 1", "no rate yet"
    stage.count("round 2", 2, 101, 104.5, starts=False)
    assert "left" not in stage.describe(104.5), "half a second is too short"
    stage.count("round 21", 21, 101, 114.0, starts=False)
    # 20 rounds took 10 s, so 80 take 40 s
    assert stage.describe(114.0) == "train xgboost 21% · 14 s · about 40 s left · round 21"
    assert stage.describe(124.0).startswith("train xgboost 21% · 24 s · about 30 s left"), (
        "it counts down meanwhile"
    )
    assert "about 0 s left" in stage.describe(999.0)
    stage.count("round 101", 101, 101, 154.0, starts=False)
    assert stage.describe(154.0) == "train xgboost 100% · 54 s · round 101"


def test_a_training_that_resumes_does_not_count_the_rounds_before():
    stage = StageProgress("train xgboost", begun=0.0)
    stage.count("round 80", 80, 100, 10.0, starts=True)
    stage.count("round 90", 90, 100, 20.0, starts=False)
    assert stage.estimate_left(20.0) == 10.0


def test_trees_without_a_count_show_no_share():
    stage = StageProgress("train forest", begun=0.0)
    stage.count("100 trees on 9 rows", 0, 100, 1.0, starts=True)
    assert stage.describe(5.0) == "train forest · 5 s · 100 trees on 9 rows"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3720, "1 h 02 min")],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_each_pass_has_a_time_of_its_own_and_training_hides_passes():
    now = [0.0]
    live = progress._Live(verbose=False, clock=lambda: now[0])
    live.console = Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    live.stage(entry(0), False)
    for number, done, at in ((1, 1, 10), (1, 2, 20), (1, 4, 40), (2, 1, 50), (2, 2, 51.5)):
        now[0] = at
        live.visit(number, done, 4)
    assert str(live.__rich__()) == ("split 50% · 52 s · about 3 s left · pass 2, partition 2 of 4")
    live.train("round 1", 1, 10)
    live.visit(3, 1, 4)
    assert str(live.__rich__()) == "split 10% · 52 s · round 1"
    live.stage(entry(7), True)
    assert "7 rows" in live.console.file.getvalue()
    now[0] = 60
    live.stage(entry(0), False)
    assert str(live.__rich__()) == "split · 0 s", "a stage starts anew"
    live.stage(entry(7), True)


def test_the_dashboard_is_named_in_one_line_by_a_run_that_lasts():
    lines = []
    pages = {"dashboard": "http://d/status", "metrics": "http://d/metrics"}
    short = PageLine(lines.append, 0.2)
    short(pages)
    short({})
    time.sleep(0.4)
    assert lines == [], "the run was over by then"
    long = PageLine(lines.append, 0.05)
    long(pages)
    time.sleep(0.5)
    long({})
    assert lines == ["dashboard http://d/status · metrics http://d/metrics"]
    PageLine(lines.append, 0.0)(pages)  # --verbose
    assert len(lines) == 2
    PageLine(lines.append, 0.0)({})  # --no-dashboard
    assert len(lines) == 2 and progress.LONG_RUN == 10
