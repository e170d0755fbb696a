"""What the audit measures of single columns: their worth, their drift, and their names."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from pipeline.audit import drift
from pipeline.audit.suspicious_names import detect_future_hint, is_entity_name, split_words
from pipeline.evaluate import univariate
from pipeline.evaluate.univariate import Labels
from pipeline.matrix import Target

RNG = np.random.default_rng(0)
N, M = 4000, 1000


def labels(task, k=0):
    made = RNG.normal(size=N + M) if task == "regression" else RNG.integers(0, max(k, 2), N + M)
    made = made.astype("float64")
    return Labels(made[:N], made[N:], task, k)


TASKS = [("binary", 2), ("multiclass", 4), ("regression", 0)]


@pytest.mark.parametrize(("task", "k"), TASKS)
def test_the_target_itself_scores_1_and_noise_nothing(task, k):
    own = labels(task, k)
    assert univariate.score_column(own.train, own.test, own, category=False).value > 0.999
    noise = RNG.normal(size=N + M)
    score = univariate.score_column(noise[:N], noise[N:], own, category=False)
    assert score.value < univariate.compute_chance_limit(own) + 0.01 and score.strength == ""
    if task != "regression":
        codes = own.train.astype("int64"), own.test.astype("int64")
        assert univariate.score_column(*codes, own, category=True).strength == "decisive"


def test_the_scores_are_those_of_the_textbook():
    x = RNG.normal(size=N + M)
    y = (x + RNG.normal(size=N + M) > 0).astype("float64")
    own = Labels(y[:N], y[N:], "binary", 2)
    found = univariate.score_column(x[:N], x[N:], own, category=False).value
    assert found == pytest.approx(roc_auc_score(y[N:], x[N:]), abs=0.01)  # means of 20 rows
    z = np.sin(3 * x) + RNG.normal(size=N + M) / 3
    curved = Labels(z[:N], z[N:], "regression")
    found = univariate.score_column(x[:N], x[N:], curved, category=False).value
    assert found == pytest.approx(r2_score(z[N:], np.sin(3 * x[N:])), abs=0.05)


def test_a_line_beyond_all_bins_is_still_a_line():
    heavy = RNG.standard_t(2, size=N + M)
    own = Labels(2 * heavy[:N] + 5, 2 * heavy[N:] + 5, "regression")
    assert univariate.score_column(heavy[:N], heavy[N:], own, category=False).value > 0.9999


@pytest.mark.parametrize(
    "values", [np.full(N + M, np.nan), np.zeros(N + M), np.full(N + M, np.inf)]
)
def test_columns_without_a_difference_have_no_worth(values):
    for task, k in TASKS:
        own = labels(task, k)
        found = univariate.score_column(values[:N], values[N:], own, category=False)
        assert found.value <= 0.5 and found.strength == ""


def test_numbers_near_the_limits_and_many_classes_are_scored():
    huge = labels("regression")
    x = np.r_[huge.train, huge.test] * 1e300
    assert univariate.score_column(x[:N], x[N:], huge, category=False).value > 0.999
    many = RNG.integers(0, 500, N + M).astype("float64")
    own = univariate.group_labels(many[:N], many[N:], Target("multiclass", tuple(range(500))))
    assert own.n_classes == univariate.MAX_CLASSES and own.train.max() == univariate.MAX_CLASSES - 1
    codes = many.astype("int64")
    assert univariate.score_column(codes[:N], codes[N:], own, category=True).value > 0.2


def test_too_few_rows_or_one_label_are_not_scored():
    few = Labels(np.array([0.0, 1] * 20), np.array([0.0, 1] * 5), "binary", 2)
    assert univariate.score_column(few.train, few.test, few, category=False) is None
    same = Labels(np.array([0.0, 1] * 20), np.ones(40), "binary", 2)
    assert univariate.score_column(same.train, same.test, same, category=False) is None
    assert univariate.score_neighbours(same.train, same.test, same) is None


def test_a_few_rows_of_a_class_prove_nothing():
    few = np.r_[np.ones(19), np.zeros(2000)]
    assert not Labels(few, few, "binary", 2).is_conclusive
    assert Labels(few, np.r_[few, 1.0], "binary", 2).is_conclusive
    assert not Labels(few, few[:99], "binary", 2).is_conclusive
    assert Labels(few, few, "regression").is_conclusive


def test_neighbours_in_time_tell_what_bins_would_not():
    when = np.sort(RNG.random(N + M))
    storm = RNG.random(N + M).cumsum()  # a label for some ten rows at a time
    y = (np.floor(storm / 5) % 2 == 0).astype("float64")
    test = RNG.random(N + M) < 0.2
    own = Labels(y[~test], y[test], "binary", 2)
    assert univariate.score_neighbours(when[~test], when[test], own) > 0.9
    mixed = RNG.permutation(y)
    blind = Labels(mixed[~test], mixed[test], "binary", 2)
    assert univariate.score_neighbours(
        when[~test], when[test], blind
    ) < univariate.compute_chance_limit(blind)


# -- drift -----------------------------------------------------------------------------------------


def test_psi_is_the_sum_over_the_training_deciles():
    train, test = RNG.normal(size=100_000), RNG.normal(0.5, 1, size=100_000)
    edges = np.quantile(train, np.arange(1, 10) / 10)
    p, q = (np.bincount(np.searchsorted(edges, v, "right")) / len(v) for v in (train, test))
    expected = float(((q - p) * np.log(q / p)).sum())
    found = drift.measure_numbers(train, test)
    assert found.psi == pytest.approx(expected, abs=1e-3) and found.level == "some"


def test_samples_of_one_distribution_do_not_drift():
    sizes = [(60, 20), (300, 60), (5000, 900)]
    told = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        for n, m in sizes:
            numbers = drift.measure_numbers(rng.normal(size=n), rng.normal(size=m))
            codes = drift.measure_codes(rng.zipf(1.3, n) % 5000, rng.zipf(1.3, m) % 5000)
            told += (numbers.level != "") + (codes.level != "")
    assert told <= 9  # of 900


def test_an_id_of_every_row_is_no_drift():
    found = drift.measure_codes(np.arange(1000), np.arange(1000, 1300))
    assert found.details["unseen"] == 300 and found.new == 0 and found.level == ""


def test_new_categories_missing_values_and_new_ranges_are_counted():
    train = np.repeat(np.arange(4), 100)
    test = np.r_[np.repeat(np.arange(4), 10), np.full(40, 4), np.full(20, -1)]
    found = drift.measure_codes(train, test)
    assert found.level == "much" and found.new == pytest.approx(0.4, abs=0.04)
    assert found.details == {"missing_train": 0, "missing_test": 20, "unseen": 40, "values": 4}
    values = np.linspace(0, 1, 500)
    moved = drift.measure_numbers(values, np.r_[values + 0.9, np.nan])
    assert moved.level == "much"
    assert moved.details["missing_test"] == 1 and moved.details["beyond_train"] == pytest.approx(450, abs=2)  # fmt: skip


@pytest.mark.parametrize("values", [np.full(50, np.nan), np.zeros(50), np.array([])])
def test_columns_of_one_value_do_not_drift(values):
    assert drift.measure_numbers(values, values[:20]).level == ""


# -- names -----------------------------------------------------------------------------------------

AFTERWARDS = {
    "actual_end": "plain", "is_cancelled": "plain", "cancellationReason": "plain",
    "closed_at": "plain", "final_grade": "plain", "loan_outcome": "plain", "days_to_death": "plain",
    "ChurnedOn": "plain", "time_to_repair": "plain", "arr_time": "weak", "dep_delay": "weak",
}  # fmt: skip
BEFORE = [
    "sched_arr_time", "scheduled_arr", "previous_outcome", "planned_end", "expected_delay",
    "dep_time", "carrier", "distance", "hour", "temp", "age", "balance", "target_market", "x1",
    "worst concave points", "petal length (cm)", "candidate_name", "time_hour", "days", "total",
    "last_result", "endurance", "actuary", "closeness",
]  # fmt: skip


@pytest.mark.parametrize("name", AFTERWARDS)
def test_names_that_tell_of_the_future_are_hints(name):
    assert detect_future_hint(name, ["arr_delay"])[0] == AFTERWARDS[name]


@pytest.mark.parametrize("name", BEFORE)
def test_other_names_are_none(name):
    assert detect_future_hint(name, ["arr_delay"]) == ("", "")


def test_words_and_entities():
    assert split_words("arrDelay_min2 HTTPCode") == ["arr", "delay", "min", "2", "http", "code"]
    assert all(map(is_entity_name, ["patient", "user_id", "CustomerId", "account_no", "tailnum"]))
    assert not any(map(is_entity_name, ["id", "grid", "carrier", "no", "dest", "valid", "humid"]))
