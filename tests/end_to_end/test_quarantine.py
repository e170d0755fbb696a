"""A CSV of which one row in a hundred is damaged: every good row arrives, every bad one is kept."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.__main__ import run_command_line
from pipeline.config.model import Source
from pipeline.device import cpu
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract

NAMES = ["id", "x", "day", "word", "y"]
TYPES = {"id": "integer"}  # with fractions among its values it would be taken for a float
# kind: (what becomes of the fields; the column that is named; the reason)
DAMAGE = {
    "too short": (lambda f: f[:3], None, "3 fields instead of 5"),
    "too long": (lambda f: [*f, b"9"], None, "6 fields instead of 5"),
    "text in an integer": (lambda f: [b"oops " + f[0], *f[1:]], "id", "not an integer"),
    "fraction in an integer": (lambda f: [f[0] + b".5", *f[1:]], "id", "not an integer"),
    "beyond 64 bits": (lambda f: [b"9" * 25, *f[1:]], "id", "not an integer"),
    "decimal comma": (lambda f: [f[0], b'"1,5"', *f[2:]], "x", "not a number"),
    "no such day": (lambda f: [*f[:2], b"2024-02-30", *f[3:]], "day", r"not a date (2026-01-31)"),
    "not UTF-8": (lambda f: [*f[:3], b"caf\xe9", f[4]], "word", "not UTF-8 text"),
    "open quote": (lambda f: [*f[:3], b'"' + f[3], f[4]], None, "a quoted field does not end on its line"),
    "carriage return": (lambda f: [*f[:3], b"a\rb", f[4]], None, "a carriage return stands outside of quotes"),
}  # fmt: skip


def written(path, rows, seed=0):
    """Writes the file; for each damaged row (from 0) its kind and its line's text."""
    chance = np.random.default_rng(seed)
    kinds = list(DAMAGE)
    damaged = dict(
        zip(
            np.sort(chance.choice(rows, rows // 100, replace=False)).tolist(),
            chance.permutation(rows // 100) % len(kinds),
            strict=True,
        )
    )
    x, days = chance.normal(size=rows).round(6), chance.integers(1, 29, rows)
    lines, bad = [], {}
    for row in range(rows):
        day, word = f"2024-01-{days[row]:02}", "xyä"[row % 3]
        fields = [str(v).encode() for v in (row, x[row], day, word, int(x[row] > 0))]
        if row in damaged:
            kind = kinds[damaged[row]]
            fields = DAMAGE[kind][0](fields)
            bad[row] = (kind, b",".join(fields))
        lines.append(b",".join(fields))
    path.write_bytes(",".join(NAMES).encode() + b"\n" + b"\n".join(lines) + b"\n")
    return x, bad


def check_rejected(found, path, bad):
    """Every damaged row is there once, with its place, its text and the reason, in order."""
    assert found["row"].tolist() == sorted(bad)
    assert (found["line"] == found["row"] + 2).all()  # after the header, from 1
    assert set(found["file"]) == {str(path)}
    for each in found.itertuples():
        kind, text = bad[each.row]
        _, column, reason = DAMAGE[kind]
        assert (None if pd.isna(each.column) else each.column, each.reason) == (column, reason), (
            kind
        )
        assert each.text == text.decode("utf-8", "backslashreplace")


def check_good(frame, x, bad):
    """Every other row is there once, with its values."""
    good = np.setdiff1d(np.arange(len(x)), list(bad))
    assert frame.index.tolist() == good.tolist()
    assert (frame["id"].to_numpy("int64") == good).all()
    assert (frame["x"].to_numpy() == x[good]).all()
    assert (frame["word"].astype(str) == np.array(list("xyä"))[good % 3]).all()


def check(folder, rows, block_bytes):
    path = folder / "d.csv"
    x, bad = written(path, rows)
    counts = Counter(kind for kind, _ in bad.values())
    assert len(bad) == rows // 100 and set(counts) == set(DAMAGE)
    assert max(counts.values()) - min(counts.values()) <= 1

    contract = infer_contract(Source(path=str(path), types=TYPES))
    types = ["integer", "float", "date", "text", "integer"]
    assert [c.type for c in contract.columns] == types
    blocks = plan_blocks(contract, block_bytes)
    assert len(blocks) > 10
    read = [read_block(block, contract, NAMES, cpu, "quarantine") for block in blocks]
    check_good(cpu.concat([frame for frame, _ in read]), x, bad)
    check_rejected(pd.concat([r for _, r in read if r is not None]), path, bad)

    config = {
        "data": {"path": str(path), "target": "y", "on_bad_rows": "quarantine", "types": TYPES},
        "features": [
            {"dates": {"columns": ["day"], "parts": ["day"]}},
            {"categorify": {"columns": ["word"]}},
        ],
        "models": {"xgboost": {"rounds": 2}},
        "cluster": {"dashboard": False}, "refit": "never", "device": "cpu", "golden": 0,
    }  # fmt: skip
    (folder / "c.yaml").write_text(yaml.safe_dump(config))
    run = folder / "run"
    assert run_command_line(["run", str(folder / "c.yaml"), "--out", str(run), "-q", "--json"]) == 0
    manifest = json.loads((run / "manifest.json").read_text())
    assert sum(manifest["rows"].values()) == rows - len(bad)
    assert f"{len(bad):,} bad rows set aside in ingest/rejected.parquet" in manifest["warnings"]
    rejected = pd.read_parquet(run / "ingest" / "rejected.parquet")
    check_rejected(rejected, path, bad)
    assert rejected["reason"].value_counts().sum() + sum(manifest["rows"].values()) == rows
    return counts


def test_a_file_with_damage_of_ten_kinds(tmp_path):
    check(tmp_path, 20_000, 40_000)


@pytest.mark.slow
def test_a_million_rows_with_damage_of_ten_kinds(tmp_path):
    counts = check(tmp_path, 1_000_000, 1 << 20)
    print(f"\n{sum(counts.values()):,} rows set aside: {dict(counts)}")
