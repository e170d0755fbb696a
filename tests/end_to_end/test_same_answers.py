"""The same answer every time: runs of one layout to the bit, and what differs between layouts.

`pytest -m slow -s tests/end_to_end/test_same_answers.py` prints the tables of docs/trust.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from same_runs import assert_same_bits, differences

from pipeline import Config, run
from pipeline.ingest import partitions
from pipeline.memory import planner

ROOT = Path(__file__).parents[2]
RUNS = 5
STATE, AUC = 1e-12, 1e-4
SWITCHES = (0.005, 0.5, 0.05, 0.0005, 0.0001)
"""Seconds after which Python's threads take turns: other orders of what they do."""

OPS = [
    {"derive": {"hours": "label * 0.37 / (1 + `=1+1`)"}},
    {
        "aggregate": {
            "by": ["a.b, c", "key_0"],
            "columns": ["hours"],
            "stats": ["mean", "std", "sum"],
        }
    },
    {"fill": {"columns": ["label"], "with": "mean", "indicator": True}},
    {"scale": {"columns": ["=1+1", "hours"], "method": "standard"}},
    {"bucket": {"columns": ["label"], "quantiles": 5, "as": "{column} bucket"}},
    {"dates": {"columns": ["row"], "parts": ["month", "hour"]}},
    {"target_encode": {"columns": ["a.b, c"], "folds": 3}},
    {"categorify": {"columns": ["key_0"]}},
]


def trips(n=600):
    """Columns named like ours: distance, speed, town, kind and time; and the target."""
    rng = np.random.default_rng(3)
    distance = rng.gamma(2, 30, n)
    distance[rng.random(n) < 0.1] = np.nan
    speed = rng.normal(50, 9, n)
    return pd.DataFrame({
        "label": distance, "=1+1": speed,
        "a.b, c": rng.choice([*(f"t{i}" for i in range(25)), "ü, ß", "=A1", "👩\u200d👧"], n),
        "key_0": rng.choice(["a", "b", None], n),
        "row": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, n), unit="s"),
        "set": speed + 20 * rng.random(n) < 55,
    })  # fmt: skip


def written(frame, folder, count, ending="parquet"):
    """The rows in so many files, and the folder's name."""
    folder.mkdir()
    for number, at in enumerate(np.array_split(np.arange(len(frame)), count)):
        path = folder / f"{number:02d}.{ending}"
        part = frame.iloc[at]
        part.to_csv(path, index=False) if ending == "csv" else part.to_parquet(path, index=False)
    return str(folder)


def tiny(path):
    """The config of a run that takes a second."""
    return {
        "name": "trips",
        "data": {"path": path, "target": "set"},
        "features": OPS,
        "models": {"xgboost": {"rounds": 20, "subsample": 0.7}, "forest": {"trees": 3}},
        "refit": "never",
        "cluster": {"kind": "process", "dashboard": False},
    }


def in_a_new_process(tree, folder, number):
    """The run folder of the command, in a process whose hashes and threads are unlike others'."""
    path = folder / f"{number}.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    switch = f"import sys; sys.setswitchinterval({SWITCHES[number]});"
    main = f"{switch} from pipeline.__main__ import run_command_line; sys.exit(run_command_line(sys.argv[1:]))"
    out = folder / f"run {number}"
    # Not another OMP_NUM_THREADS: XGBoost adds up the RMSE that it tells of by threads.
    environment = {**os.environ, "PYTHONHASHSEED": str(number), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", main, "run", str(path), "--out", str(out), "-q"],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """(config, outcome) of a run in this process: four files, their rows held."""
    folder = tmp_path_factory.mktemp("here")
    tree = tiny(written(trips(), folder / "data", 4))
    return tree, run(Config.parse(tree), out=folder / "run")


def test_a_run_in_another_process_is_the_same_to_the_bit(here, tmp_path):
    tree, outcome = here
    assert_same_bits(in_a_new_process(tree, tmp_path, 1), outcome.folder)


def test_one_csv_streamed_in_small_blocks_gives_what_four_files_held_give(here, tmp_path):
    tree, outcome = here
    path = written(trips(), tmp_path / "csv", 1, "csv")
    other = {**tree, "data": {**tree["data"], "path": path}}
    streamed = laid_out(other, tmp_path / "run", hold=False, block=8_000)
    found = check(outcome, streamed, same_files=False)
    assert max(auc_differences(outcome, streamed).values()) <= AUC
    compared = {one.artefact: one.compared for one in found}
    assert compared["features/plan.json"] > 100 and compared["golden.parquet"] > 500


# -- layouts ---------------------------------------------------------------------------------------


def laid_out(tree, out, *, hold=True, block=None, cluster=None):
    """A run with its rows held or not, in blocks of so many bytes, in a cluster or not."""
    true_plan = planner.plan_memory

    def planned(*arguments, **options):
        return replace(true_plan(*arguments, **options), in_memory=hold, staging=0 if hold else 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(planner, "plan_memory", planned)
        patch.setattr(partitions, "SMALL_BLOCK", block or 1 << 40)
        if block:
            patch.setattr(planner, "choose_block_bytes", lambda *limits: block)
        return run(Config.parse({**tree, "cluster": cluster or tree["cluster"]}), out=out)


def check(reference, other, same_files=True):
    """The differences of two layouts, once what must be the same is."""
    found = list(differences(reference.folder, other.folder, same_files))
    for one in found:
        if one.artefact.startswith(("ingest/", "features/")):
            assert one.exact == 0 and one.relative <= STATE, one
    outcomes = (reference, other)
    one, two = (pd.read_parquet(o.folder / "evaluate/predictions.parquet") for o in outcomes)
    own = ["row", "set", "label"]
    pd.testing.assert_frame_equal(one[own], two[own])
    assert reference.metrics["rows"] == other.metrics["rows"]
    return found


MEASURES = {"binary": "roc_auc", "multiclass": "roc_auc_ovr", "regression": "r2"}


def auc_differences(reference, other):
    """How far each model's ROC AUC (R² of a regression) on the test rows is from the other's."""
    name = MEASURES[reference.metrics["task"]]
    one, two = (o.metrics["models"] for o in (reference, other))
    return {model: abs(one[model]["test"][name] - two[model]["test"][name]) for model in one}


# -- the full counts -------------------------------------------------------------------------------

TASKS = {
    "binary": "flights",
    "multiclass": "flights-multiclass",
    "regression": "flights-regression",
}
FLOATS = [
    {"derive": {"hours": "sched_dep_time / 100 * 0.37"}},
    {"aggregate": {"by": "carrier", "columns": ["hours"], "stats": ["mean", "std", "sum"]}},
    {"lag": {"by": "tailnum", "order": "time_hour", "columns": ["hours"], "shift": 1}},
    {"fill": {"columns": ["hours__shift_1"], "with": "mean"}},
    {"scale": {"columns": ["hours", "hours__sum_by_carrier"], "method": "standard"}},
]
"""Before the config's own ops: state that is summed up in floats."""


def flights(task, path):
    """The config of the task with `FLOATS` and fewer rounds and trees."""
    tree = yaml.safe_load((ROOT / "conf" / f"{TASKS[task]}.yaml").read_text())
    tree["features"] = [*FLOATS, *tree["features"]]
    tree["data"]["path"] = str(path)
    tree["models"]["xgboost"]["rounds"] = 60
    tree["models"]["forest"]["trees"] = 10
    return {**tree, "refit": "never", "cluster": {"kind": "process", "dashboard": False}}


@pytest.fixture(scope="module")
def sample():
    """24,000 flights of the whole year."""
    return pd.read_parquet(ROOT / "data/flights/flights.parquet").iloc[::14].head(24_000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["process", "cores"])
@pytest.mark.parametrize("task", TASKS)
def test_five_runs_are_the_same_to_the_bit(task, kind, sample, tmp_path):
    tree = flights(task, written(sample, tmp_path / "data", 6))
    workers = {"workers": 2} if kind == "cores" else {}
    tree["cluster"] = {"kind": kind, "dashboard": False, **workers}
    first, *others = [in_a_new_process(tree, tmp_path, number) for number in range(RUNS)]
    for other in others:
        assert_same_bits(first, other)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_layouts_give_the_same_answers(task, sample, tmp_path, capsys):
    one, six = (written(sample, tmp_path / f"{n}", n) for n in (1, 6))
    csv = written(sample, tmp_path / "csv", 1, "csv")
    cores = {"kind": "cores", "dashboard": False}
    small = {"block": 300_000}
    layouts = {
        "six files": (six, {}),
        "many partitions": (csv, small),
        "streamed": (six, {"hold": False}),
        "CSV, streamed": (csv, {"hold": False, **small}),
        "one worker": (six, {"cluster": {**cores, "workers": 1}}),
        "two workers": (six, {"cluster": {**cores, "workers": 2}}),
        "two workers, again": (six, {"cluster": {**cores, "workers": 2}}),
    }
    reference = laid_out(flights(task, one), tmp_path / "reference")
    with capsys.disabled():
        for name, (path, layout) in layouts.items():
            other = laid_out(flights(task, path), tmp_path / name, **layout)
            found = check(reference, other, same_files=False)
            metric = auc_differences(reference, other)
            if "cluster" not in layout:
                assert max(metric.values()) <= AUC, metric
            shown = ", ".join(f"{model} {value:.1e}" for model, value in metric.items())
            print(f"\n{task}: one file, one partition, and {name}: {MEASURES[task]} {shown}")
            for difference in found:
                if difference.exact or difference.relative:
                    print("   ", difference)
