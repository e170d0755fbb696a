"""`audit`: every kind of leak, planted; found; and gone with the line of config it proposes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from audited import audited, fitted_run, found, mended

from pipeline.__main__ import run_command_line
from pipeline.audit import runner
from pipeline.audit.checks import CHECKS
from pipeline.config.model import Config
from pipeline.execution import executor
from pipeline.features.engine import transform
from pipeline.features.ops.target_encode import TargetEncode
from pipeline.features.registry import parse_ops
from pipeline.ingest import partitions
from pipeline.memory import planner


@pytest.fixture(autouse=True)
def without_waiting_for_the_collector(monkeypatch):
    monkeypatch.setattr(executor, "release_memory", lambda: None)


N = 1500
START = pd.Timestamp("2024-01-01")


def table(seed=0, **columns):
    """Rows without a leak, and further columns."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N)
    frame = pd.DataFrame(
        {
            "x": x,
            "z": rng.normal(size=N),
            "g": rng.choice(list("abcdefgh"), N),
            "town": rng.choice([f"t{i}" for i in range(40)], N),
            "y": x + rng.normal(size=N) > 0,
        }
    )
    return frame.assign(**columns)


def config(frame, folder, features=None, **tree):
    path = folder / "data.parquet"
    frame.to_parquet(path)
    return {"data": {"path": str(path), "target": "y"}, "features": features, **tree}


def hours(count=N, seed=3):
    rng = np.random.default_rng(seed)
    return START + pd.to_timedelta(np.sort(rng.integers(0, 365 * 24, count)), unit="h")


def check_line(line):
    """A proposed line is YAML that the config, and the ops, accept."""
    value = yaml.safe_load(line)
    entries = value if isinstance(value, list) else value.get("features", [])
    parse_ops(entries)
    top = {} if isinstance(value, list) else value
    Config.parse({"data": {"path": "d.csv", "target": "y"}, **top})


def see(tree, folder, check, severity, column):
    """The finding is there, and gone with its line in the config; (report, report without it)."""
    report = audited(tree, folder / "leaky")
    finding = found(report, check, severity, column)[0]
    check_line(finding.config)
    after = audited(mended(tree, finding), folder / "mended")
    assert not found(after, check, column=column), after.findings
    return finding, report, after


OPS = [{"target_encode": {"columns": ["town"]}}, {"categorify": {"columns": ["g"]}}]


@pytest.mark.parametrize("features", [None, OPS], ids=["chosen", "named"])
def test_clean_tables_have_no_finding(tmp_path, features):
    report = audited(config(table(), tmp_path, features), tmp_path)
    assert report.findings == []
    assert report.rows == {"train": 1046, "valid": 152, "test": 302} and report.sampled == N
    said = {c.check: c for c in report.checks}
    assert said["fitted"].measured["replaced_rows"] == 454
    assert said["encodings"].measured["moved"] == 0 < said["encodings"].measured["others_moved"]
    assert list(said) == ["data", "fitted", "encodings", *CHECKS]


# -- what is fitted --------------------------------------------------------------------------------


def test_a_state_that_sees_held_out_rows_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(transform, "select_training_rows", lambda part: part)
    monkeypatch.setattr(transform, "_select_fit_rows", lambda part, sample: part)
    features = [{"scale": {"columns": ["z"]}}, {"drop": ["g", "town"]}]
    finding, _, _ = see(config(table(), tmp_path, features), tmp_path, "fitted", "fail", "z")
    assert "scale" in finding.what and finding.config == "- drop: [z]"


def test_a_lag_that_looks_back_at_test_rows_is_found(tmp_path):
    lag = {"lag": {"by": ["g"], "order": "when", "columns": ["z"], "shift": [1]}}
    frame = table(when=hours())
    tree = config(frame, tmp_path, [lag, {"drop": ["town", "g", "when"]}])
    finding, _, _ = see(tree, tmp_path, "fitted", "fail", "z__shift_1")
    assert yaml.safe_load(finding.config)["split"]["by"] == "time"


def test_an_encoding_that_holds_its_own_label_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(TargetEncode, "transform_train", TargetEncode.transform)
    finding, report, _ = see(config(table(), tmp_path, OPS), tmp_path, "encodings", "fail", "town")
    assert finding.measured["moved"] == finding.measured["flipped"] > 1
    assert len(found(report, "encodings")) == 2  # of a fold, and of one row


# -- rows in both sets -----------------------------------------------------------------------------


def test_copies_of_rows_in_train_and_test_are_found(tmp_path):
    half = table().head(N // 2)
    frame = pd.concat([half, half], ignore_index=True)
    finding, _, _ = see(config(frame, tmp_path), tmp_path, "rows", "fail", "")
    assert finding.measured["share"] > 0.5 and finding.measured["spread"] == 0


def test_rows_that_are_equal_by_chance_are_no_leak(tmp_path):
    frame = table()[["g", "town", "y"]]
    report = audited(config(frame, tmp_path), tmp_path)
    assert {f.severity for f in found(report, "rows")} == {"warn"}


def test_entities_that_are_known_from_training_are_found(tmp_path):
    patient = np.random.default_rng(5).integers(0, 150, N)
    frame = table(patient_id=[f"p{i}" for i in patient], y=patient % 3 == 0)
    tree = config(frame, tmp_path, [*OPS, {"drop": ["patient_id"]}])
    finding, _, _ = see(tree, tmp_path, "entities", "fail", "patient_id")
    assert finding.config == "split: {by: group, column: patient_id, valid: 0.1, test: 0.2}"


# -- times -----------------------------------------------------------------------------------------


def test_a_random_split_of_rows_whose_order_matters_is_found(tmp_path):
    when = hours()
    label = (np.random.default_rng(1).random(150) < 0.5)[np.arange(N) // 10]  # ten rows a storm
    frame = table(when=when, y=label ^ (np.random.default_rng(2).random(N) < 0.2))
    tree = config(frame, tmp_path, [*OPS, {"drop": ["when"]}])
    finding, _, _ = see(tree, tmp_path, "times", "warn", "when")
    assert finding.config == "split: {by: time, column: when, valid: 0.1, test: 0.2}"


def test_sets_that_overlap_in_time_are_found(tmp_path):
    which = np.repeat(["train", "valid", "test"], [1000, 200, 300])
    which[[950, 1300]] = ["test", "train"]
    frame = table(when=hours(), which=which)
    tree = config(frame, tmp_path, [*OPS, {"drop": ["when", "which"]}], split={"by": "column", "column": "which"})  # fmt: skip
    finding, _, after = see(tree, tmp_path, "times", "fail", "when")
    assert "not before the first test row" in finding.what


def test_a_time_after_the_rows_own_is_found(tmp_path):
    opened = hours()
    late = opened + pd.to_timedelta(np.random.default_rng(1).integers(1, 99, N), unit="h")
    frame = table(opened=opened, paid=late)
    days = [{"dates": {"columns": ["opened", "paid"], "parts": ["day_of_week"]}}]
    tree = config(frame, tmp_path, [*OPS, *days], split={"by": "time", "column": "opened"})
    finding, _, _ = see(tree, tmp_path, "times", "warn", "paid")
    assert finding.config == "- drop: [paid__day_of_week]" and finding.measured["later"] == 1


# -- single columns --------------------------------------------------------------------------------

RNG = np.random.default_rng(7)
CLASSES = RNG.choice(list("abc"), N)
NUMBERS = RNG.normal(size=N)
GIVEN_AWAY = {
    "binary": (CLASSES == "a", (CLASSES == "a") + RNG.normal(size=N) / 9),
    "binary, by text": (CLASSES == "a", np.where(CLASSES == "a", "late", RNG.choice(list("pq"), N))),
    "binary, where it is missing": (CLASSES == "a", np.where(CLASSES == "a", RNG.normal(size=N), np.nan)),
    "multiclass": (CLASSES, np.char.add(CLASSES, "!")),
    "regression": (NUMBERS, NUMBERS * 3 + 1 + RNG.normal(size=N) / 20),
    "regression, not in a line": (NUMBERS, NUMBERS**3),
}  # fmt: skip


@pytest.mark.parametrize("case", GIVEN_AWAY)
def test_a_column_that_gives_the_target_away_is_found(tmp_path, case):
    label, column = GIVEN_AWAY[case]
    report = audited(config(table(y=label, column=column), tmp_path), tmp_path)
    (finding,) = found(report, "alone")
    assert (finding.severity, finding.column) == ("fail", "column")
    check_line(finding.config)


def test_a_column_that_gives_the_target_away_is_gone_with_its_line(tmp_path):
    label, column = GIVEN_AWAY["binary"]
    tree = config(table(y=label, column=column), tmp_path)
    see(tree, tmp_path, "alone", "fail", "column")


def test_a_time_that_tells_the_target_wants_another_split(tmp_path):
    when = hours()
    tree = config(table(when=when, y=np.sin(np.arange(N) / 40)), tmp_path)
    finding, _, _ = see(tree, tmp_path, "alone", "warn", "when__days")
    assert finding.config == "split: {by: time, column: when, valid: 0.1, test: 0.2}"


def test_a_name_and_a_score_together_fail(tmp_path):
    frame = table()
    later = np.where(frame["y"], 1.0, -1.0) + np.random.default_rng(1).normal(size=N) * 0.8
    tree = config(frame.assign(actual_end=later, actual_start=frame["z"]), tmp_path, OPS)
    finding, report, _ = see(tree, tmp_path, "names", "fail", "actual_end")
    assert not found(report, "alone", "fail"), "its score alone would not do"
    assert found(report, "names", "warn", "actual_start"), "nor its name"
    assert finding.config == "- drop: [actual_end]"


# -- drift -----------------------------------------------------------------------------------------


def test_columns_that_drift_are_found(tmp_path):
    late = np.arange(N) >= 0.8 * N
    towns = np.where(late & (np.arange(N) % 2 == 0), "new", table()["town"])
    frame = table(when=hours(), town=towns)
    frame.loc[late, "z"] += 2
    tree = config(frame, tmp_path, [*OPS, {"drop": ["when"]}], split={"by": "time", "column": "when"})  # fmt: skip
    _, report, _ = see(tree, tmp_path, "drift", "warn", "z")
    (town,) = found(report, "drift", "warn", "town")
    assert town.measured["unseen"] == pytest.approx(150, abs=3)
    assert {f.column for f in found(report, "drift", "warn")} == {"town", "z"}


# -- the data --------------------------------------------------------------------------------------


def test_data_that_changed_since_the_run_are_told(tmp_path):
    tree = config(table(), tmp_path, OPS)
    run = fitted_run(tree, tmp_path)
    table().head(1200).to_parquet(tmp_path / "data.parquet")
    report = runner.run_audit(run, tmp_path / "one", serial=True)
    told = [f.what for f in found(report, "data", "warn")]
    assert any("bytes and has" in what for what in told)
    assert any("now there are 836 train" in what for what in told), told
    table().to_parquet(tmp_path / "elsewhere.parquet")
    moved = runner.run_audit(
        run, tmp_path / "two", data=[str(tmp_path / "elsewhere.parquet")], serial=True
    )
    assert not found(moved, "data")


def test_streamed_csv_is_audited_as_held_parquet_is(tmp_path, monkeypatch):
    frame = table(user_id=np.random.default_rng(5).integers(0, 90, N), when=hours())
    held = audited(config(frame, tmp_path), tmp_path / "held")
    true_plan = planner.plan_memory
    monkeypatch.setattr(
        planner, "plan_memory", lambda *a, **o: replace(true_plan(*a, **o), in_memory=False)
    )
    monkeypatch.setattr(planner, "choose_block_bytes", lambda *limits: 8_000)
    monkeypatch.setattr(partitions, "SMALL_BLOCK", 1_000)
    frame.to_csv(tmp_path / "data.csv", index=False)
    tree = {"data": {"path": str(tmp_path / "data.csv"), "target": "y"}}
    streamed = audited(tree, tmp_path / "streamed")
    assert streamed.findings == held.findings and len(held.findings) > 1
    assert [c.measured for c in streamed.checks] == [c.measured for c in held.checks]


def test_odd_values_and_names_are_audited(tmp_path):
    rng = np.random.default_rng(4)
    frame = table(
        **{
            "infinite": np.where(rng.random(N) < 0.1, np.inf, rng.normal(size=N) * 1e300),
            "edge": rng.choice([-(2**63), 2**63 - 1, 0], N),
            "old": np.array(
                ["0001-01-01", "9999-12-31", "1500-03-01"] * (N // 3), "datetime64[us]"
            ),
            "a: b\nc": rng.choice(["\x1b[31m", "", "#", "yes"], N),
            "missing": np.nan,
            "same": "same",
            "label": rng.random(N) > 0.5,
        }
    )
    report = audited(config(frame, tmp_path), tmp_path)
    json.dumps(report.to_json(), allow_nan=False)
    assert not report.find_unresolved(strict=False)
    assert not found(report, "fitted") and not found(report, "encodings")


# -- on the command line ---------------------------------------------------------------------------


@pytest.fixture
def leaky(tmp_path, monkeypatch):
    """The folder of a run with a column that fails."""
    monkeypatch.chdir(tmp_path)
    later = np.where(table()["y"], 1.0, -1.0) + np.random.default_rng(1).normal(size=N) * 0.8
    return fitted_run(config(table(actual_end=later), tmp_path, OPS), tmp_path)


def test_a_finding_that_somebody_accepts_does_not_stand(leaky, capsys):
    assert run_command_line(["audit", str(leaky), "-q"]) == 4
    assert "--accept names:actual_end" in capsys.readouterr().err
    told = ["--accept", "names:actual_end", "--accept", "x"]
    assert run_command_line(["audit", str(leaky), "-q", *told]) == 0
    said = capsys.readouterr().out
    assert "names:actual_end: accepted" in said and "x: there is no such finding" in said
    assert "ok    fitted" in said and "Fix: - drop: [actual_end]" in said
    assert not (leaky.parent / "data").exists(), "it works in the run's folder"
    assert not (leaky / "tmp").exists() and not (leaky / ".lock").exists()


def test_an_altered_or_unfinished_run_is_not_opened(leaky, capsys):
    written = leaky / "config.yaml"
    written.write_text(written.read_text() + "\n")
    assert run_command_line(["audit", str(leaky), "-q"]) == 2
    assert "config.yaml was altered after the run" in capsys.readouterr().err
    (leaky / "manifest.json").unlink()
    assert run_command_line(["audit", str(leaky), "-q"]) == 2
    assert "is not a finished run" in capsys.readouterr().err
    assert not (leaky / "audit.json").exists()


def test_data_that_are_gone_are_asked_for(leaky, capsys):
    (leaky.parent / "data.parquet").rename(leaky.parent / "moved.parquet")
    assert run_command_line(["audit", str(leaky), "-q"]) == 2
    said = capsys.readouterr().err
    assert "data.parquet" in said and "--data PATH" in said
