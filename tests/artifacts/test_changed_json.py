"""Every value of every JSON file of a run, changed to nonsense: refused by file and place, or used."""

from __future__ import annotations

import json
import random
import shutil

import pytest
from hostile import VALUES, changed, places, reseal, text_of

from pipeline.__main__ import run_command_line
from pipeline.audit.finished_run import open_finished_run
from pipeline.errors import InputError

FEW = 300
READERS = {
    "manifest.json": ("predict", "report", "compare", "runs", "audit"),
    "config.yaml": ("predict", "report", "compare", "runs", "audit"),
    "features/plan.json": ("predict", "report", "compare", "runs", "audit"),
    "ingest/schema.json": ("predict", "report", "compare", "runs"),
    "train/xgboost.json": ("predict", "report", "compare", "runs"),
    "train/forest.json": ("forest", "report", "compare", "runs"),
    "evaluate/metrics.json": ("report", "compare", "runs"),
    "evaluate/curves.json": ("report", "compare", "runs"),
    "ledger.jsonl": ("report", "compare", "runs"),
    "gpu.json": ("report", "compare", "runs"),
    "audit.json": ("report", "compare", "runs"),
}
"""The commands that open a file."""
GPU = {
    "seconds": 1.0, "stages": [{"stage": "read", "begun": 0.0, "ended": 0.5}],
    "gpus": [{"gpu": "0", "name": "G", "memory": 9, "busy": [0.5, None], "sent": [1.0, 2.0]}],
}  # fmt: skip
AUDIT = {
    "format": 1, "run": "r", "passed": True, "accepted": ["a"], "sampled": 9, "seconds": 1.0,
    "rows": {"train": 7, "valid": 1, "test": 1},
    "findings": [
        {"name": "names:x", "check": "names", "severity": "info", "column": "x", "what": "w",
         "measured": {"a": [1.0]}, "config": "c"}
    ],
    "checks": [{"check": "names", "said": "s", "measured": {"a": 1}}],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(made, tmp_path_factory):
    """A run with every kind of file, below a folder of its own."""
    folder = shutil.copytree(made / "run", tmp_path_factory.mktemp("changed") / "runs" / "r")
    hashes = json.loads((folder / "manifest.json").read_text())["files"]
    audit = {**AUDIT, "files": {"config.yaml": hashes["config.yaml"]}}
    (folder / "gpu.json").write_text(json.dumps(GPU))
    (folder / "audit.json").write_text(json.dumps(audit))
    return folder


def tree_of(run, name):
    text = (run / name).read_text()
    return list(map(json.loads, text.splitlines())) if name.endswith("l") else json.loads(text)


def every_change(run):
    """(file, place, value) of every change, in an order that is the same each time."""
    names = [name for name in READERS if not name.endswith(".yaml")]
    found = [
        (name, place, value)
        for name in names
        for place in places(tree_of(run, name))
        for value in VALUES
    ]
    random.Random(0).shuffle(found)
    return found


def write(run, name, tree):
    if name.endswith("l"):
        (run / name).write_text("".join(f"{text_of(line)}\n" for line in tree))
    else:
        (run / name).write_text(text_of(tree))
    if name not in ("manifest.json", "gpu.json", "audit.json"):
        reseal(run, name)


def opened(command, run, made, tmp_path):
    """The status of a command over the run."""
    data = [str(made / "d.csv"), "--out", str(tmp_path / "o.csv"), "--device", "cpu", "-q"]
    if command == "audit":
        try:
            open_finished_run(run)
        except InputError as error:
            assert "do not fit together" not in error.message, error.message
            return 2
        return 0
    return run_command_line(
        {
            "predict": ["predict", str(run), *data, "--model", "xgboost"],
            "forest": ["predict", str(run), *data, "--model", "forest"],
            "report": ["report", str(run)],
            "compare": ["compare", str(made / "run"), str(run), "--all"],
            "runs": ["runs", str(run.parent)],
        }[command]
    )


def check(changes, run, made, tmp_path, capsys, *, all_commands):
    """Makes each change, seals the run again and opens it; says how often it was refused.

    Without ``all_commands``, each change is opened by one of those that read the file.
    """
    kept = {name: (run / name).read_bytes() for name in READERS}
    refused = 0
    for number, (name, place, value) in enumerate(changes):
        write(run, name, changed(tree_of(run, name), place, value))
        readers = READERS[name]
        try:
            for command in readers if all_commands else [readers[number % len(readers)]]:
                status = opened(command, run, made, tmp_path)
                said = capsys.readouterr().err
                case = f"{command}: {name} {place} = {value!r:.40}: {said[-1500:]}"
                assert status in (0, 2), case
                assert "do not fit together" not in said and "Traceback" not in said, case
                # a change may show in another file that it does not fit
                told = any(each in said for each in READERS) or "the run's manifest" in said
                assert status == 0 or told or command == "audit", case
                refused += status == 2
        finally:
            (run / name).write_bytes(kept[name])
            (run / "manifest.json").write_bytes(kept["manifest.json"])
    return refused


def test_a_few_hundred_changes(run, made, tmp_path, capsys):
    changes = every_change(run)[:FEW]
    assert check(changes, run, made, tmp_path, capsys, all_commands=False) > FEW / 3


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_all_changes(run, made, tmp_path, capsys, part):
    changes = every_change(run)[part::20]
    assert check(changes, run, made, tmp_path, capsys, all_commands=True) > 100


@pytest.mark.parametrize(
    "case",
    [
        ("features/plan.json", ("features", 0, "name"), True, "features.0.name: must be text (got True)"),
        ("features/plan.json", ("steps", 9, "state", "names", 0), True, "steps.9.state.names.0: must be text (got True)"),
        ("features/plan.json", ("steps", 9, "state", "names", 0), "x", "steps.9.state.names: is not what its op"),
        ("features/plan.json", ("steps", 6, "state", "tables"), [], "steps.6.state.outputs and tables must be equally long"),
        ("features/plan.json", ("steps", 3, "state", "values", 0), "a", "cannot fill the column 'z', which is float64"),
        ("features/plan.json", ("steps", 0, "phase"), -1, "steps.0.phase: must be at least 0 (got -1)"),
        ("features/plan.json", ("source", "columns", 0, "dtype"), "int8", "source.columns.0.dtype: must be 'int64'"),
        ("features/plan.json", ("filters", 0), "x +", "filters.0: "),
        ("ingest/schema.json", ("columns", 0, "name"), None, "columns.0.name: must be text (got None)"),
        ("ingest/schema.json", ("columns", 6, "pattern"), "%Q", "columns.6.pattern: is not a pattern of a column of type datetime"),
        ("evaluate/metrics.json", ("models", "xgboost", "test", "roc_auc"), float("nan"), "models.xgboost.test.roc_auc: must be a finite number (got nan)"),
        ("evaluate/metrics.json", ("models", "xgboost", "test", "roc_auc"), float("inf"), "models.xgboost.test.roc_auc: must be a finite number (got inf)"),
        ("evaluate/curves.json", ("models", "xgboost", "test", "points", "fpr"), [], "fpr, tpr and precision must be equally long"),
        ("train/xgboost.json", ("features", 0, "kind"), "z", "features.0.kind: must be 'q', 'int' or 'c' (got 'z')"),
        ("manifest.json", ("best",), "x", "best must be one of models, not 'x'"),
        ("ledger.jsonl", (0, "seconds"), float("inf"), "ledger.jsonl: line 1: seconds: must be a finite number"),
        ("gpu.json", ("seconds",), 0, "gpu.json: seconds: must be more than 0.0 (got 0)"),
        ("audit.json", ("findings", 0, "severity"), "odd", "findings.0.severity: must be 'fail', 'warn' or 'info'"),
    ],
)  # fmt: skip
def test_the_place_is_named(run, made, tmp_path, capsys, case):
    name, place, value, said = case
    kept = {each: (run / each).read_bytes() for each in (name, "manifest.json")}
    write(run, name, changed(tree_of(run, name), place, value))
    status = opened(READERS[name][0], run, made, tmp_path)
    for each, content in kept.items():
        (run / each).write_bytes(content)
    told = capsys.readouterr().err
    assert status == 2 and name in told and said in told, told
