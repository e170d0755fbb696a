"""The plan: phases, pruning, what is refused before a row is read."""

from __future__ import annotations

import pytest

from pipeline.errors import ConfigError
from pipeline.features.engine.planner import (
    plan_next_phase,
    prune_ops,
    resolve_ops,
    select_model_columns,
)
from pipeline.features.engine.transform import Step
from pipeline.features.registry import parse_ops
from pipeline.schema import Column, Schema

SOURCE = Schema(
    (
        Column("a", "float64"),
        Column("b", "float64"),
        Column("t", "text"),
        Column("when", "datetime"),
        Column("y", "float64"),
    ),
    target=frozenset({"y"}),
)


def steps_of(walked):
    return [
        Step(o, s, {}, not o.requires_fit) for o, s in zip(walked.ops, walked.schemas, strict=False)
    ]


def phases_of(entries, source=SOURCE):
    """Names of the ops fitted in each pass, as `fit` would run them."""
    steps = steps_of(resolve_ops(parse_ops(entries), source))
    found = []
    while True:
        _, pending, _ = plan_next_phase(steps)
        if not pending:
            return found
        found.append([steps[i].op.name for i in pending])
        for i in pending:
            steps[i] = Step(steps[i].op, steps[i].schema, {}, True)


def test_ops_that_do_not_feed_each_other_are_fitted_in_one_pass():
    entries = [
        {"fill": {"columns": ["a"], "with": "mean"}},
        {"scale": {"columns": ["b"], "method": "standard"}},
        {"categorify": {"columns": ["t"]}},
    ]
    assert phases_of(entries) == [["fill", "scale", "categorify"]]


def test_an_op_waits_for_what_it_reads_also_through_ops_that_fit_nothing():
    entries = [
        {"fill": {"columns": ["a"], "with": "mean"}},
        {"derive": {"c": "a * 2"}},
        {"scale": {"columns": ["c"], "method": "standard"}},
        {"scale": {"columns": ["b"], "method": "standard"}},
    ]
    assert phases_of(entries) == [["fill", "scale"], ["scale"]]


def test_an_op_after_one_hot_waits_until_its_columns_are_known():
    entries = [
        {"one_hot": {"columns": ["t"]}},
        {"fill": {"columns": ["a"], "with": "mean"}},
    ]
    assert phases_of(entries) == [["one_hot"], ["fill"]]


def test_a_column_written_anew_is_final_again():
    entries = [
        {"fill": {"columns": ["a"], "with": "mean"}},
        {"derive": {"a": "b + 1"}},
        {"scale": {"columns": ["a"], "method": "standard"}},
    ]
    assert phases_of(entries) == [["fill", "scale"]]


def test_what_no_model_uses_is_neither_computed_nor_read():
    ops = parse_ops(
        [
            {"derive": {"c": "a + 1"}},
            {"derive": {"d": "b + 1"}},
            {"drop": ["d", "b", "t", "when"]},
        ]
    )
    pruned = prune_ops(resolve_ops(ops, SOURCE), SOURCE, {})
    assert pruned.used[0] and not pruned.used[1]
    assert pruned.needed == {"a"}


def test_a_column_that_is_dropped_after_use_is_read():
    ops = parse_ops([{"derive": {"c": "a + b"}}, {"drop": ["a", "b", "t", "when"]}])
    assert prune_ops(resolve_ops(ops, SOURCE), SOURCE, {}).needed == {"a", "b"}


def test_an_op_on_many_columns_is_narrowed_to_those_that_are_used():
    ops = parse_ops(
        [{"fill": {"columns": "numeric", "with": "mean"}}, {"drop": ["b", "t", "when"]}]
    )
    pruned = prune_ops(resolve_ops(ops, SOURCE), SOURCE, {})
    assert pruned.resolved.ops[0].reads(SOURCE) == ["a"]
    assert pruned.needed == {"a"}


def test_what_is_dropped_by_its_name_is_still_made():
    entries = [
        {"scale": {"columns": ["a", "b"], "as": "{column}_z"}},
        {"drop": ["b_z", "t", "when"]},
    ]
    pruned = prune_ops(resolve_ops(parse_ops(entries), SOURCE), SOURCE, {})
    assert pruned.resolved.final.names == ["a", "b", "y", "a_z"]


def test_reading_the_target_is_refused_with_the_op_and_the_column():
    with pytest.raises(ConfigError, match=r"features\[0\]\.derive: the target is made of 'y'"):
        resolve_ops(parse_ops([{"derive": {"c": "y + 1"}}]), SOURCE)


def test_selectors_leave_the_target_out():
    (op,) = parse_ops([{"fill": {"columns": "numeric", "with": "mean"}}])
    assert op.reads(SOURCE) == ["a", "b"]


def test_an_unknown_column_names_the_op_and_the_nearest_column():
    with pytest.raises(ConfigError, match=r"features\[1\]\.fill.*'wen'.*\n.*did you mean 'when'"):
        resolve_ops(parse_ops([{"drop": ["a"]}, {"fill": {"columns": ["wen"], "with": 0}}]), SOURCE)


@pytest.mark.parametrize(
    ("drop", "message"),
    [(["when"], "'t' is still text.*target_encode or categorify"),
     (["t"], "'when' is still datetime.*dates")],
)  # fmt: skip
def test_text_and_dates_that_no_op_turned_into_numbers_are_refused(drop, message):
    walked = resolve_ops(parse_ops([{"drop": drop}]), SOURCE)
    with pytest.raises(ConfigError, match="(?s)" + message):
        select_model_columns(walked, {})


def test_no_columns_left_is_refused():
    walked = resolve_ops(parse_ops([{"drop": ["a", "b", "t", "when"]}]), SOURCE)
    with pytest.raises(ConfigError, match="no column is left"):
        select_model_columns(walked, {})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"scale": {"columns": ["a", "b"], "as": "s"}},
            r"scale: two of its columns have the name 's'.*as: ",
        ),
        (
            {"clip": {"columns": "a", "lower": 0, "as": "__set__"}},
            "'__set__' is reserved",
        ),
        (
            {"clip": {"columns": "a", "lower": 0, "as": "{colum}_c"}},
            r"other braces than \{column\}",
        ),
    ],
)
def test_names_that_cannot_be_are_refused(entry, message):
    with pytest.raises(ConfigError, match="(?s)" + message):
        resolve_ops(parse_ops([entry]), SOURCE)


def test_an_indicator_with_the_name_of_another_column_is_refused():
    source = Schema((Column("x", "float64"), Column("x__missing", "float64")))
    fill = {"fill": {"columns": "numeric", "with": 0, "indicator": True}}
    with pytest.raises(ConfigError, match="have the name 'x__missing'"):
        resolve_ops(parse_ops([fill]), source)


def test_columns_may_have_braces_in_their_names():
    source = Schema((Column("{x}", "float64"),))
    walked = resolve_ops(
        parse_ops([{"clip": {"columns": "{x}", "lower": 0, "as": "{column}_c"}}]), source
    )
    assert walked.final.names == ["{x}", "{x}_c"]
