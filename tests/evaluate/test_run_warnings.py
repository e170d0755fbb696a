"""Each warning of a run fires on its condition, and only then."""

from dataclasses import replace

import pytest

from pipeline.config.model import Split
from pipeline.errors import InputError
from pipeline.evaluate import run_warnings
from pipeline.evaluate.comparison import Comparison
from pipeline.evaluate.run_warnings import RunFacts, RunWarning, find_warnings
from pipeline.evaluate.strongest_column import StrongestColumn
from pipeline.evaluate.univariate import Score
from pipeline.ingest.reading_note import ReadingNote
from pipeline.matrix import Target

SCORES = {
    "binary": {"roc_auc": 0.8}, "multiclass": {"roc_auc_ovr": 0.8}, "regression": {"r2": 0.8},
}  # fmt: skip


def facts(task="binary", classes=("no", "yes"), metrics=None, **changes):
    """Facts of a run without a fault."""
    clean = RunFacts(
        target=Target(task, classes if task != "regression" else ()),
        target_text="y",
        best="forest",
        metrics={"models": {"forest": {"test": {**SCORES[task], **(metrics or {})}}}},
        comparison=Comparison("ROC AUC", 0.3, 0.01),
        strongest=None,
        test_rows=100,
        class_rows=[10] * len(classes) if task != "regression" else [],
        test_class_rows=[50] * len(classes) if task != "regression" else [],
        rows=1000,
    )
    return replace(clean, **changes)


def kinds(found):
    return [warning.kind for warning in found]


@pytest.mark.parametrize("task", SCORES)
def test_a_clean_run_has_none(task):
    assert find_warnings(facts(task)) == []


@pytest.mark.parametrize(
    ("lead", "error", "fires"),
    [(0.3, 0.1, False), (0.19, 0.1, True), (0.2, 0.1, True), (-1, 0.1, True), (0, 0, True)],
)
def test_a_best_model_within_the_noise_of_the_baseline(lead, error, fires):
    found = find_warnings(facts(comparison=Comparison("ROC AUC", lead, error)))
    assert kinds(found) == (["baseline"] if fires else [])
    if fires:
        assert "forest, does not beat the baseline beyond noise" in found[0].message
        way = "higher" if lead > 0 else "lower"
        assert f"ROC AUC is {abs(lead):.3g} ± {2 * error:.2g} {way} than" in found[0].message


def test_a_best_model_that_cannot_be_compared():
    (found,) = find_warnings(facts(comparison=Comparison("ROC AUC", None, reason="one class")))
    assert found.kind == "baseline" and "cannot be compared with the baseline: one" in found.message


@pytest.mark.parametrize(
    ("task", "metrics", "fires"),
    [
        ("binary", {"roc_auc": 0.9991}, True),
        ("binary", {"roc_auc": 0.981}, True),
        ("binary", {"roc_auc": 0.98}, False),
        ("binary", {"roc_auc": None}, False),
        ("multiclass", {"roc_auc_ovr": 1.0, "accuracy": 0.99}, True),
        ("multiclass", {"roc_auc_ovr": 0.98, "accuracy": 0.999}, False),
        ("regression", {"r2": 0.9995}, True),
        ("regression", {"r2": 0.91}, True),
        ("regression", {"r2": 0.9}, False),
    ],
)
def test_a_score_near_perfect_with_the_column_that_carries_it(task, metrics, fires):
    carrier = StrongestColumn("id", Score(0.9999, "decisive"), "AUC")
    found = find_warnings(facts(task, metrics=metrics, strongest=carrier))
    assert kinds(found) == (["perfect"] if fires else [])
    if fires:
        assert found[0].column == "id" and "'id' alone has AUC 0.9999" in found[0].message
        assert found[0].fix == "python -m pipeline audit RUN"
        assert found[0].fix_in("'a b'") == "python -m pipeline audit 'a b'"


@pytest.mark.parametrize(
    ("task", "metrics", "fires"),
    [
        ("binary", {"roc_auc": 1.0}, True),
        ("binary", {"roc_auc": 0.999}, False),
        ("multiclass", {"roc_auc_ovr": 1.0, "accuracy": 0.99}, True),
        ("multiclass", {"roc_auc_ovr": 1.0, "accuracy": 0.98}, False),
        ("multiclass", {"roc_auc_ovr": 1.0, "accuracy": None}, False),
        ("regression", {"r2": 0.9995}, True),
        ("regression", {"r2": 0.998}, False),
    ],
)
@pytest.mark.parametrize("strongest", [None, StrongestColumn("x", Score(0.8, "notable"), "AUC")])
def test_a_score_near_perfect_that_no_column_carries(task, metrics, fires, strongest):
    found = find_warnings(facts(task, metrics=metrics, strongest=strongest))
    assert kinds(found) == (["perfect"] if fires else [])
    if fires:
        assert found[0].column is None and "no column alone explains it" in found[0].message


@pytest.mark.parametrize(
    ("score", "conclusive", "fires"),
    [
        (Score(0.995, "decisive"), True, True),
        (Score(0.995, "decisive"), False, False),
        (Score(0.96, "strong"), True, False),
    ],
)
def test_a_good_score_that_one_column_decides(score, conclusive, fires):
    carrier = StrongestColumn("log_y", score, "R²", conclusive)
    found = find_warnings(facts("regression", metrics={"r2": 0.96}, strongest=carrier))
    assert kinds(found) == (["perfect"] if fires else [])
    if fires:
        assert found[0].message == (
            "R² 0.9600 of forest may be a leak: 'log_y' alone has R² 0.9950"
        )


def test_the_lead_in_squared_error_is_a_share_of_the_baselines():
    seen = Comparison("squared error", -65.0, 50.0, 100.0)
    (found,) = find_warnings(facts("regression", comparison=seen))
    assert "its squared error is 65% ± 100% higher than the baseline's" in found.message
    seen = Comparison("log loss", 0.012, 0.02)
    (found,) = find_warnings(facts("multiclass", comparison=seen))
    assert "its log loss is 0.012 ± 0.04 lower than the baseline's" in found.message


def test_so_few_test_rows_that_a_perfect_score_means_nothing():
    assert kinds(find_warnings(facts(metrics={"roc_auc": 1.0}, test_rows=20))) == [
        "perfect", "test_rows",
    ]  # fmt: skip
    assert kinds(find_warnings(facts(metrics={"roc_auc": 1.0}, test_rows=19))) == ["test_rows"]


def test_classes_without_training_rows_and_with_few():
    many = facts(
        "multiclass", tuple("abcd"), class_rows=[0, 9, 10, 1], test_class_rows=[1, 0, 5, 5]
    )
    absent, rare = find_warnings(many)
    assert absent.kind == rare.kind == "classes"
    assert absent.message == (
        "1 class of y has no training rows, so no model can learn it: 'a' (1 test row)"
    )
    assert (
        rare.message == "2 classes of y have fewer than 10 training rows: 'b' (9 rows), 'd' (1 row)"
    )
    assert not absent.fix.startswith("use split by: random")
    by_time = find_warnings(replace(many, split=Split(by="time", column="day")))
    assert by_time[0].fix.startswith("use split by: random")


def test_of_many_classes_five_are_named():
    names = tuple(f"c{i}" for i in range(30))
    (found,) = find_warnings(facts("multiclass", names, class_rows=[3] * 30))
    assert found.message.endswith("'c4' (3 rows), and 25 more")


@pytest.mark.parametrize(("rows", "fires"), [(99, True), (100, False), (1, True)])
def test_few_test_rows(rows, fires):
    found = find_warnings(facts(test_rows=rows))
    assert kinds(found) == (["test_rows"] if fires else [])
    if fires:
        assert f"only {rows} row{'s' if rows > 1 else ''}:" in found[0].message


def test_a_set_of_test_rows_that_a_column_names_is_not_a_share():
    (by_share,) = find_warnings(facts(test_rows=5))
    (named,) = find_warnings(facts(test_rows=5, split=Split(by="column", column="which")))
    assert by_share.fix == "use more rows, or a larger share: --set split.test=0.4"
    assert named.fix == "use more rows, or mark more of them as test in column 'which'"


def test_text_whose_words_the_models_do_not_see():
    (found,) = find_warnings(facts(free_text={"note": "is left out"}))
    assert (found.kind, found.column) == ("text", "note") and "free text that is left out" in (
        found.message
    )


def test_a_column_of_another_type_and_no_other_note():
    notes = [
        ReadingNote("missing", "? is missing", "x"),
        ReadingNote(
            "type", "read as text: 3 values are not numbers", "x", "data.types: {x: float}"
        ),
    ]
    (found,) = find_warnings(facts(notes=notes))
    assert (found.kind, found.column) == ("type", "x")
    assert found.message == "'x': read as text: 3 values are not numbers"
    assert found.fix == "data.types: {x: float}"
    assert find_warnings(facts(notes=notes[:1])) == []


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        (1, "1 of 1,000 rows was dropped: y is missing there"),
        (30, "30 of 1,000 rows were dropped: y is missing there"),
    ],
)
def test_rows_dropped_for_want_of_a_target(missing, text):
    (found,) = find_warnings(facts(target_missing=missing))
    assert (found.kind, found.message) == ("dropped", text)


def test_warnings_survive_their_file_and_a_damaged_one_is_refused():
    found = [RunWarning("text", "m", "c", "f"), RunWarning("run", "n")]
    assert run_warnings.from_json(run_warnings.to_json(found)) == found
    with pytest.raises(InputError, match=r"w\.json: warnings\.0\.kind"):
        run_warnings.from_json({"warnings": [{"kind": "odd", "message": "m"}]}, "w.json")
