"""Checks of times: whether test rows come after training rows, and columns from a row's future."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from pipeline.audit.evidence import CheckResult, Evidence
from pipeline.audit.finding import Finding, Severity
from pipeline.audit.scan import TimeRange
from pipeline.audit.suspicious_names import detect_future_hint
from pipeline.console.plural import quantify
from pipeline.evaluate import univariate
from pipeline.evaluate.univariate import METRIC
from pipeline.matrix import Task
from pipeline.schema import SETS, TEST, TRAIN

ORDER: Mapping[Task, float] = {"binary": 0.6, "multiclass": 0.05, "regression": 0.05}
"""Score of neighbouring labels from which on the order of rows matters.

Labels of one time are then alike, and a random split puts some of them into each set.
"""
MOST = 0.5
LATER = 0.5
"""Share of the rows from which on a column that is later than the row belongs to its future."""
NEVER_BEFORE = 0.99


def check_times(evidence: Evidence) -> CheckResult:
    """Check every column of times."""
    findings: list[Finding] = []
    for name, ranges in evidence.scan.times.items():
        train, test = ranges[TRAIN], ranges[TEST]
        if train is None or test is None:
            continue
        if train[1] < test[0] and evidence.split.by in ("time", "column"):
            continue
        if evidence.split.by != "time":
            if finding := _check_mixed_sets(evidence, name, train, test):
                findings.append(finding)
        elif name == evidence.split.column:
            last, first = (_format_time(evidence, name, v) for v in (train[1], test[0]))
            what = (
                f"the split is by this time, but the last training row ({last}) is not before the "
                f"first test row ({first})"
            )
            measured = {"last_train": last, "first_test": first}
            findings.append(Finding("times", "fail", name, what, measured))
    findings += _find_future_columns(evidence)
    summary = f"{quantify(len(evidence.scan.times), 'column')} of times"
    measured = {
        name: {
            which: times
            and {
                "first": _format_time(evidence, name, times[0]),
                "last": _format_time(evidence, name, times[1]),
                "rows": times[2],
            }
            for which, times in zip(SETS, ranges, strict=True)
        }
        for name, ranges in evidence.scan.times.items()
    }
    return CheckResult("times", summary, findings, measured)


def _check_mixed_sets(
    evidence: Evidence, name: str, train: TimeRange, test: TimeRange
) -> Finding | None:
    """Check sets that overlap in time because the split is not by time."""
    values = evidence.get_column(name)
    later = float(np.mean(values.train >= test[0])) if len(values.train) else 0.0
    last, first = (_format_time(evidence, name, v) for v in (train[1], test[0]))
    measured: dict[str, Any] = {"last_train": last, "first_test": first, "later": round(later, 4)}
    config = evidence.suggest_split("time", name)
    # A given column of sets that is nearly a time split was meant as one.
    if evidence.split.by == "column" and 0 < later < MOST:
        what = (
            f"the sets resemble a time split, but {later:.1%} of the training rows are not before "
            f"the first test row: the last training row is at {last}, the first test row at {first}"
        )
        return Finding("times", "fail", name, what, measured, config)
    score = univariate.score_neighbours(values.train, values.test, evidence.labels)
    if score is None:
        return None
    metric, limit = METRIC[evidence.target.task], ORDER[evidence.target.task]
    limit = round(max(limit, univariate.compute_chance_limit(evidence.labels)), 4)
    measured |= {"value": score, "limit": limit}
    what = (
        f"rows of the same time are in both sets, and the {univariate.NEIGHBOURS} training rows "
        f"nearest in time predict a test row's label with {metric} {score:.4f}"
    )
    if score < limit:
        what += f" (below {limit}): the order of rows does not seem to matter"
        return Finding("times", "info", name, what, measured)
    what += f" (it matters from {limit} on): new rows, which come later, will be harder to predict"
    # Whoever splits by group has made a choice that a split by time would undo.
    severity: Severity = "info" if evidence.split.by == "group" else "warn"
    return Finding("times", severity, name, what, measured, config)


def _find_future_columns(evidence: Evidence) -> list[Finding]:
    """Find times that the models use and that are later than the row's own time."""
    base = evidence.split.column
    if evidence.split.by != "time":
        # The time of a row is the one of several that is mostly first; one alone may be anything.
        times = [n for n in evidence.scan.times if evidence.source[n].kind == "datetime"]
        with np.errstate(all="ignore"):
            medians = {
                name: float(np.nanmedian(values))
                for name in (times if len(times) > 1 else ())
                if len(values := evidence.get_column(name).train) and not np.isnan(values).all()
            }
        base = min(medians, key=lambda name: medians[name], default=None)
    if base is None:
        return []
    start, findings = evidence.get_column(base).train, []
    for name in evidence.scan.times:
        if name == base or name not in evidence.used_columns:
            continue
        values = evidence.get_column(name).train
        present = ~(np.isnan(values) | np.isnan(start))
        if not present.any():
            continue
        after = float(np.mean(values[present] > start[present]))
        not_before = float(np.mean(values[present] >= start[present]))
        if after < LATER or not_before < NEVER_BEFORE:
            continue
        hint, reason = detect_future_hint(name, sorted(evidence.source.target))
        score = evidence.find_best_score(name)
        # A due date is later than its row, yet it is not a leak: a name or a score must confirm it.
        is_confirmed = bool(hint) or (score is not None and score.strength != "")
        what = f"it is later than {base} in {after:.1%} of the rows, and almost never earlier"
        what += f"; {reason}" if hint else ""
        severity: Severity = "fail" if is_confirmed else "warn"
        measured = {"later": round(after, 4), "than": base}
        config = evidence.suggest_without(name)
        findings.append(Finding("times", severity, name, what, measured, config))
    return findings


def _format_time(evidence: Evidence, name: str, value: Any) -> Any:
    """Format a time as text; a number remains a number."""
    if evidence.source[name].kind != "datetime":
        return value if np.isfinite(value) else str(value)
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)).isoformat()
    except OverflowError:
        # The data may hold years that Python's datetime does not support.
        return f"{value} µs"
