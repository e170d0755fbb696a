"""The catalogue's run folders: none, unfinished, damaged, altered, of another version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_case import Case, bad_predict

from pipeline.artifacts.files import MANIFEST, write_manifest

SCORE = "predict done n.csv --out o.csv -q"


def edited(change: Callable[[Any], Any], *, signed: bool = False) -> Callable[[Path], None]:
    """Changes a JSON file of the run; ``signed``: the manifest's hashes are made anew."""

    def make(path: Path) -> None:
        tree = json.loads(path.read_text())
        path.write_text(json.dumps(change(tree)))
        if signed:
            run = next(p for p in path.parents if (p / MANIFEST).exists())
            facts = json.loads((run / MANIFEST).read_text())
            write_manifest(run, {k: v for k, v in facts.items() if k != "files"})

    return make


def gone(path: Path) -> None:
    path.unlink()


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def run_file(name: str, content: Any, *says: str, command: str = SCORE) -> Case:
    """A finished run with one file changed."""
    return bad_predict(command, *says, files={f"done/{name}": content})


RUNS: dict[str, Case] = {
    "no such folder": bad_predict("predict gone n.csv --out o.csv", "'gone' is not a finished run", "run"),
    "a file instead of a folder": bad_predict("predict n.csv n.csv --out o.csv", r"'n\.csv' is not a finished run"),
    "a folder of something else": bad_predict("predict e n.csv --out o.csv", "'e' is not a finished run", files={"e/a": ""}),
    "no manifest": run_file(MANIFEST, gone, r"has no manifest\.json", "finish the run: python -m pipeline run --resume done", "restore", "again"),
    "audit without a manifest": run_file(MANIFEST, gone, r"has no manifest\.json", "--resume done", command="audit done"),
    "compare without a manifest": bad_predict("compare done e", r"'e' is not a finished run: it has no manifest\.json", "--resume e", files={"e/config.yaml": "a: 1\n"}),
    "empty manifest": run_file(MANIFEST, b"", r"manifest\.json is not JSON", "damaged"),
    "manifest cut off": run_file(MANIFEST, b'{"best": "xgb', r"manifest\.json is not JSON", "damaged"),
    "manifest of another kind": run_file(MANIFEST, b"[1, 2]", r"manifest\.json", "damaged|manifest"),
    "manifest without its best model": run_file(MANIFEST, edited(lambda m: {k: v for k, v in m.items() if k != "best"}), r"done/manifest\.json: best: missing", "restore it"),
    "manifest without hashes": run_file(MANIFEST, edited(lambda m: {**m, "files": {}}), "manifest"),
    "model missing": run_file("train/xgboost.ubj", gone, r"xgboost\.ubj", "restore|missing"),
    "model altered": run_file("train/xgboost.ubj", grown, r"xgboost\.ubj was altered", "hash"),
    "model's facts altered": run_file("train/xgboost.json", grown, r"xgboost\.json was altered"),
    "plan altered": run_file("features/plan.json", grown, r"plan\.json was altered"),
    "schema altered": run_file("ingest/schema.json", grown, r"schema\.json was altered"),
    "config altered": run_file("config.yaml", grown, r"config\.yaml was altered"),
    "golden rows altered": run_file("golden.parquet", grown, r"golden\.parquet was altered"),
    "a newer format": run_file(
        "train/xgboost.json", edited(lambda f: {**f, "format": 99}, signed=True), r"xgboost\.json has format 99", "version",
    ),
    "an older format": run_file(
        "train/xgboost.json", edited(lambda f: {**f, "format": 1}, signed=True), r"xgboost\.json has format 1", "version",
    ),
    "report of no run": bad_predict("report e", "'e' is not a run folder", "config.yaml", files={"e/a": ""}),
    "report of damaged metrics": run_file("evaluate/metrics.json", b"{", r"metrics\.json was altered", "restore", command="report done"),
    "report of metrics of another shape": run_file("evaluate/metrics.json", b'{"models": 3}', "metrics|fit together", command="report done"),
    "report of a damaged ledger": run_file("ledger.jsonl", b'{"stage": 1}\nno\n', r"ledger\.jsonl was altered", "restore", command="report done"),
    "report of a config that is no YAML": run_file("config.yaml", b"a: [", r"config\.yaml was altered", "restore", command="report done"),
    "compare with itself": bad_predict("compare done done", "two runs"),
    "compare with nothing": bad_predict("compare done gone", "'gone' is not a run folder"),
    "compare runs of other shapes": bad_predict(
        "compare done e", "'?e'?|fit together", files={"e/config.yaml": "a: 1\n", "e/manifest.json": '{"best": 1}'},
    ),
    "runs of no folder": bad_predict("runs gone", "no folder 'gone'"),
    "clean without a word": bad_predict("clean", "removes nothing", "--keep"),
    "clean of no folder": bad_predict("clean gone --stopped", "no folder 'gone'"),
}  # fmt: skip
