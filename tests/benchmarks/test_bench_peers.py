import json
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks.__main__ import HERE, PEERS, Cell, prepare_data, summarize, table
from benchmarks.peers import dense_job, job, pandas_xgboost
from pipeline.bench.process_meter import CommandFailedError, describe_machine, run_measured


def test_peers_of_the_dense_job_have_our_features():
    config = yaml.safe_load((HERE / "dense.yaml").read_text())
    ours = config["models"]["xgboost"]
    assert ours["rounds"] == job.ROUNDS
    assert {name: ours[name] for name in job.PARAMS if name != "objective"} == {
        name: value for name, value in job.PARAMS.items() if name != "objective"
    }
    ops = {name: op[name] for op in config["features"] for name in op}
    assert ops["target_encode"] == {
        "columns": dense_job.ENCODED, "folds": job.FOLDS, "smooth": job.SMOOTH
    }  # fmt: skip
    assert ops["categorify"] == {"columns": dense_job.CODED}
    read = set(dense_job.COLUMNS) - {"arr_delay"}
    assert not read & set(ops["drop"])
    assert config["split"]["test"] == job.TEST


def test_complete_rows_have_no_missing_value(tmp_path):
    rows = pd.read_parquet(prepare_data(2000, "parquet", tmp_path, complete=True))
    assert len(rows) == 2000
    assert not rows.isna().any(axis=None)
    assert pd.read_parquet(prepare_data(2000, "parquet", tmp_path)).isna().any(axis=None)


def test_the_scripts_of_the_dense_job_run(tmp_path):
    data = prepare_data(3000, "csv", tmp_path, complete=True)
    for who, module in PEERS["dense"].items():
        out = tmp_path / who
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", str(data), "--out", str(out)]
        run_measured(command, log=tmp_path / "log")
        done = json.loads((out / "job.json").read_text())
        assert sum(done["rows"].values()) == 3000
        assert done["auc"] > 0.8


def test_peers_train_with_our_parameters():
    config = yaml.safe_load((HERE / "flights.yaml").read_text())
    ours = config["models"]["xgboost"]
    assert ours["rounds"] == job.ROUNDS
    for name in ("max_depth", "learning_rate", "max_bin", "min_child_weight"):
        assert ours[name] == job.PARAMS[name]
    ops = {name: op[name] for op in config["features"] for name in op}
    assert ops["target_encode"] == {
        "columns": sorted(job.ENCODED), "folds": job.FOLDS, "smooth": job.SMOOTH
    } | {"columns": ["carrier", "dest", "tailnum"]}  # fmt: skip
    assert ops["categorify"] == {"columns": job.CATEGORIES, "min_count": job.MIN_COUNT}
    assert config["split"]["test"] == job.TEST


def test_the_cut_lies_at_the_nearest_change_of_the_time():
    times = np.array([1, 2, 3, 4, 5, 6, 7, 9, 9, 9]).astype("datetime64[s]")
    assert job.first_test_time(times) == np.datetime64(9, "s")
    mostly = np.array([1, 2, 3, 8, 8, 8, 8, 8, 8, 9]).astype("datetime64[s]")
    assert job.first_test_time(mostly) == np.datetime64(9, "s")


def test_target_means_by_hand_leave_the_own_fold_out():
    column = pd.Series(["a", "a", "b", None, "a"], dtype="category")
    train = np.array([True, True, True, True, False])
    fold, label = np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0])
    found = pandas_xgboost.target_means(column, train, fold, label)
    smooth = job.SMOOTH
    assert found[0] == pytest.approx((0 + smooth * 0.0) / (1 + smooth))  # fold 1: a 0, missing 0
    assert found[1] == pytest.approx((1 + smooth * 1.0) / (1 + smooth))
    assert found[4] == pytest.approx((1 + smooth * 0.5) / (2 + smooth))


def test_category_codes_by_hand_rank_frequent_values(monkeypatch):
    monkeypatch.setattr(job, "MIN_COUNT", 2)
    column = pd.Series(["x", "y", "y", "z", "z", "z", None])
    codes = pandas_xgboost.category_codes(column, np.ones(7, dtype=bool))
    assert codes[:6].tolist() == [0, 2, 2, 1, 1, 1]
    assert np.isnan(codes[6])


def test_a_run_is_measured_with_its_children(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'import time; x = b\"1\" * 150_000_000; time.sleep(0.5)'])\n"
        "x = b'1' * 100_000_000; child.wait(); print('done')"
    )
    found = run_measured(["python", "-c", code], log=tmp_path / "log")
    assert found.output == "done\n"
    assert found.seconds > 0.5
    assert found.peak_bytes > 250_000_000  # the two together
    assert found.cpu_seconds > 0


def test_a_run_that_fails_says_why(tmp_path):
    with pytest.raises(CommandFailedError, match="ZeroDivisionError"):
        run_measured(["python", "-c", "1 / 0"], log=tmp_path / "log")


def cell(who, seconds, auc=0.7):
    return Cell(who, 10, "csv", seconds, seconds, 100.0, {"read": 1.0}, auc)


def test_ratios_are_of_medians_and_scores_are_compared():
    cells = [cell("ours", s) for s in (1, 2, 9)] + [cell("pandas", s, 0.71) for s in (4, 4, 5)]
    ours, pandas = summarize(cells)
    assert ours["ours/this seconds"] == 1
    assert pandas["ours/this seconds"] == 0.5
    assert pandas["seconds_range"] == [4, 5]
    assert ours["same_scores"] and not pandas["same_scores"]
    assert "| pandas | 4.0 (4.0-5.0) |" in table([ours, pandas])


def test_a_score_that_is_no_number_is_not_the_same():
    assert not summarize([cell("ours", 1), cell("pandas", 1, float("nan"))])[1]["same_scores"]


def test_the_real_flights_as_csv_hold_the_same_values(tmp_path):
    text = pd.read_csv(prepare_data(336_776, "csv", tmp_path), parse_dates=["time_hour"])
    real = pd.read_parquet(prepare_data(336_776, "parquet", tmp_path))
    assert len(text) == len(real)
    assert text["dep_time"].equals(real["dep_time"].astype("float64"))
    assert (text["time_hour"].dt.tz_convert("UTC") == real["time_hour"]).all()


def test_the_machine_is_described():
    found = describe_machine()
    assert found["cores"] >= 1 and found["libraries"]["pandas"]
    json.dumps(found)


def test_each_peer_is_a_script():
    for module in [module for peers in PEERS.values() for module in peers.values()]:
        assert (HERE / "peers" / f"{module}.py").exists()
