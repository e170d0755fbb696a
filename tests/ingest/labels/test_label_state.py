"""The record of labels: it inverts, and one of an older version still loads."""

import json

from pipeline.ingest.labels.label_state import LabelCounts, LabelState
from pipeline.matrix import Target

STATE = LabelState(
    Target("binary", ("no", "yes")),
    "the target has two distinct values",
    None,
    LabelCounts(
        {"train": 7, "valid": 1, "test": 2},
        7,
        {0.0: 2.5, 1.0: 4.5},
        4.5,
        7.0,
        1.0,
        {0.0: 3, 1.0: 4},
    ),
    target_missing=5,
)


def test_the_record_gives_the_same_labels():
    assert LabelState.from_json(json.loads(json.dumps(STATE.to_json()))) == STATE


def test_a_record_without_the_newer_counts_loads():
    stored = STATE.to_json()
    del stored["counts"]["class_rows"], stored["target_missing"]
    before = LabelState.from_json(stored)
    assert before.counts.class_rows == {} and before.target_missing == 0
    assert before.counts.classes == STATE.counts.classes
