"""The ledger has a line for each finished stage and none for one that failed."""

from __future__ import annotations

import json

import pytest

from pipeline.artifacts.ledger import Ledger, find_total


def test_stages_become_lines(tmp_path):
    heard = []
    ledger = Ledger(
        tmp_path / "l.jsonl", "auto", "cpu", "no GPU", on_stage=lambda e, end: heard.append(end)
    )
    with ledger.stage("read") as entry:
        entry.rows = 5
        entry.notes.append("a note")
    with pytest.raises(RuntimeError), ledger.stage("train"):
        raise RuntimeError
    (line,) = [json.loads(text) for text in (tmp_path / "l.jsonl").read_text().splitlines()]
    assert line["stage"] == "read" and line["rows"] == 5 and line["notes"] == ["a note"]
    assert (line["asked"], line["device"], line["reason"]) == ("auto", "cpu", "no GPU")
    assert line["seconds"] >= 0 and line["peak_host"] > 10_000_000
    assert heard == [False, True, False]


def test_peak_memory_sees_what_was_freed_again(tmp_path):
    ledger = Ledger(tmp_path / "l.jsonl", "cpu", "cpu", "asked")
    with ledger.stage("idle") as idle:
        pass
    with ledger.stage("big") as entry:
        import time

        block = bytearray(200_000_000)
        time.sleep(0.2)
        del block
    assert entry.peak_host > idle.peak_host + 150_000_000


def test_the_device_is_metered_by_stage(tmp_path):
    counts = iter([{"h2d": 9, "d2h": 9}, {"h2d": 5, "d2h": 7, "peak_device": 3}])
    ledger = Ledger(tmp_path / "l.jsonl", "gpu", "gpu", "asked", meter=lambda: next(counts))
    with ledger.stage("read"):
        pass
    line = json.loads((tmp_path / "l.jsonl").read_text())
    assert (line["h2d"], line["d2h"], line["peak_device"]) == (5, 7, 3)


def test_the_total_is_the_last_line_and_else_the_sum_of_the_stages(tmp_path):
    ledger = Ledger(tmp_path / "l.jsonl", "cpu", "cpu", "asked")
    with ledger.stage("read"):
        pass

    def lines():
        return [json.loads(text) for text in (tmp_path / "l.jsonl").read_text().splitlines()]

    assert find_total(lines()) == lines()[0]["seconds"], "a run that stopped"
    assert ledger.end(12.34567) == 12.346
    assert lines()[-1] == {"total_seconds": 12.346} and find_total(lines()) == 12.346
    assert find_total([]) == 0
