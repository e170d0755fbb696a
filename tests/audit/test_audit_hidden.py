"""`audit`: leaks that no single score shows, planted; and gone with the lines that it proposes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from audited import audited, found, mended

from pipeline.audit import scan
from pipeline.execution import executor

N = 1500


@pytest.fixture(autouse=True)
def without_waiting_for_the_collector(monkeypatch):
    monkeypatch.setattr(executor, "release_memory", lambda: None)


def table(seed=0, rows=N, **columns):
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, rows))
    frame = pd.DataFrame({"x": x, "z": z, "age": rng.integers(18, 90, rows)})
    return frame.assign(y=x + z + rng.normal(size=rows) > 0).assign(**columns)


def config(frame, folder):
    path = folder / "data.parquet"
    frame.to_parquet(path, index=False)
    return {"data": {"path": str(path), "target": "y"}, "features": []}


def see(tree, folder, check, severity, column):
    """The finding is there, and gone with its line in the config."""
    report = audited(tree, folder / "leaky")
    finding = found(report, check, severity, column)[0]
    after = audited(mended(tree, finding), folder / "mended")
    assert not found(after, check, "fail") and not found(after, check, "warn"), after.findings
    return finding, report


def numbered(per, noise, task="binary", seed=5):
    rng = np.random.default_rng(seed)
    number = rng.integers(0, N // per, N)
    if task == "multiclass":
        label = rng.choice(list("abc"), N // per)[number]
        return number * 17 + 1000, np.where(rng.random(N) < noise, "a", label)
    if task == "regression":
        return number * 17 + 1000, rng.normal(size=N // per)[number] + noise * rng.normal(size=N)
    return number * 17 + 1000, (rng.random(N // per) < 0.4)[number] ^ (rng.random(N) < noise)


@pytest.mark.parametrize(
    ("task", "noise", "severity"),
    [
        ("binary", 0.0, "fail"),
        ("binary", 0.1, "warn"),
        ("multiclass", 0.0, "fail"),
        ("regression", 0.1, "warn"),
    ],
)
def test_a_number_that_names_an_entity_wants_a_split_by_it(tmp_path, task, noise, severity):
    plot, y = numbered(5, noise, task)
    finding, report = see(config(table(plot=plot, y=y), tmp_path), tmp_path, "entities", severity, "plot")  # fmt: skip
    assert finding.config == "split: {by: group, column: plot, valid: 0.1, test: 0.2}"
    assert not found(report, "alone", "fail"), "its size says little"


def test_numbers_beyond_what_a_float_holds_are_told_apart(tmp_path):
    plot, y = numbered(5, 0.0)
    report = audited(config(table(plot=plot // 17 + 2**60, y=y), tmp_path), tmp_path)
    assert found(report, "entities", "fail", "plot")


def with_mean(number=False, **options):
    rng = np.random.default_rng(3)
    shop = rng.integers(0, N // 10, N)
    frame = table(**options)
    y = frame["x"] + rng.normal(size=N // 10)[shop] + rng.normal(size=N)
    frame["y"] = y if number else y > 0
    return frame, shop


@pytest.mark.parametrize("number", [False, True])
def test_a_mean_of_the_target_over_test_rows_is_dropped(tmp_path, number):
    frame, shop = with_mean(number)
    frame["history"] = frame["y"].astype("float64").groupby(shop).transform("mean")
    finding, _ = see(config(frame, tmp_path), tmp_path, "label_mean", "fail", "history")
    assert finding.config == "- drop: [history]"


def test_a_mean_of_the_target_in_a_side_table_is_dropped(tmp_path):
    frame, shop = with_mean()
    frame["shop"] = shop
    means = frame.groupby("shop", as_index=False)["y"].mean().rename(columns={"y": "rate"})
    means.to_parquet(tmp_path / "means.parquet")
    tree = config(frame, tmp_path)
    tree["data"]["tables"] = {"means": {"path": str(tmp_path / "means.parquet"), "keys": ["shop"]}}
    tree["features"] = [{"join": {"table": "means", "columns": ["rate"]}}, {"drop": ["shop"]}]
    finding, _ = see(tree, tmp_path, "label_mean", "fail", "rate")
    assert finding.config == "- drop: [rate]"


@pytest.mark.parametrize(
    ("make", "sign"),
    [
        (lambda y, rng: y + 0.5 * rng.normal(size=N), "by class its means are"),
        (lambda y, rng: 90 * y + 40 * rng.normal(size=N), "independent of"),
        (lambda y, rng: (y != (rng.random(N) < 0.1)) * 1, "independent of"),
    ],
)
def test_a_copy_of_the_target_with_noise_is_a_warning(tmp_path, make, sign):
    frame = table()
    frame["note"] = make(frame["y"].to_numpy(), np.random.default_rng(1))
    finding, report = see(config(frame, tmp_path), tmp_path, "noisy_copy", "warn", "note")
    assert sign in finding.what and f"{finding.measured['value']:.4f}" in finding.what
    assert finding.config == "- drop: [note]" and not found(report, "alone", "fail")


def test_a_number_with_noise_is_a_warning(tmp_path):
    frame = table()
    y = frame["x"] * 5 + frame["z"]
    frame = frame.assign(y=y, note=y + 3 * np.random.default_rng(1).normal(size=N))
    see(config(frame, tmp_path), tmp_path, "noisy_copy", "warn", "note")


def repeated(frame, change, share=0.3):
    again = frame.head(int(share * len(frame))).copy()
    numbers = ["x", "z"]
    again[numbers] = change(again[numbers], np.random.default_rng(2))
    return pd.concat([frame, again], ignore_index=True)


CHANGES = {
    "in the sixth digit": lambda v, rng: v * (1 + 1e-6 * rng.uniform(-1, 1, v.shape)),
    "rounded": lambda v, rng: v.round(3),
    "moved": lambda v, rng: v + 1e-3 * rng.normal(size=v.shape),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_whose_numbers_were_changed_a_little_fail(tmp_path, change):
    frame = repeated(table(serial=np.random.default_rng(4).permutation(N)), CHANGES[change])
    finding, report = see(config(frame, tmp_path), tmp_path, "near_rows", "fail", "")
    assert finding.config == "split: {by: group, column: serial, valid: 0.1, test: 0.2}"
    assert finding.measured["share"] == pytest.approx(0.33, abs=0.08)
    assert not found(report, "rows"), "none is equal"


def test_a_sample_of_the_rows_tells_the_share_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "SAMPLE_ROWS", 1200)
    frame = repeated(table(rows=3000), CHANGES["in the sixth digit"], share=1.0)
    report = audited(config(frame, tmp_path), tmp_path)
    (finding,) = found(report, "near_rows", "fail")
    assert report.sampled < 1400 and finding.measured["share"] == pytest.approx(0.7, abs=0.25)


def test_honest_columns_are_left_alone(tmp_path):
    """Numbers of tickets, a shop's own rate, strong causes, ties and repeated measurements."""
    rng = np.random.default_rng(9)
    frame = table(
        ticket=rng.permutation(N) * 13, batch=rng.integers(0, N // 4, N), rating=rng.integers(1, 6, N)
    )  # fmt: skip
    shop, rate = rng.integers(0, N // 10, N), rng.normal(size=N // 10)
    frame["rate"] = rate[shop]
    frame["strong"] = 3 * frame["x"] + 2 * frame["rate"]
    frame["y"] = frame["strong"] + rng.normal(size=N) > 0
    report = audited(config(frame, tmp_path), tmp_path)
    new = {"entities", "label_mean", "noisy_copy", "near_rows"}
    assert not [f for f in report.findings if f.check in new]
