"""Whether the test rows come after the training rows, and columns whose times are in the future."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from pipeline.audit import univariate
from pipeline.audit.evidence import Checked, Facts
from pipeline.audit.finding import Finding, Severity
from pipeline.audit.scan import Range
from pipeline.audit.suspicious_names import after_the_fact
from pipeline.audit.univariate import METRIC
from pipeline.matrix import Task
from pipeline.schema import SETS, TEST, TRAIN

ORDER: Mapping[Task, float] = {"binary": 0.6, "multiclass": 0.05, "regression": 0.05}
"""From this worth of its neighbours' labels on, the order of rows matters: labels of one time are
alike, and a split at random puts some into the training set and others into the test set."""
MOST = 0.5
LATER = 0.5
"""A column whose times come after the row's own in so many rows is of what happens later."""
NEVER_BEFORE = 0.99


def check_times(facts: Facts) -> Checked:
    """Every column of times."""
    findings = []
    for name, ranges in facts.look.times.items():
        train, test = ranges[TRAIN], ranges[TEST]
        if train is None or test is None:
            continue
        if train[1] < test[0] and facts.split.by in ("time", "column"):
            continue
        if facts.split.by == "time":
            found = _broken(facts, name, train, test) if name == facts.split.column else None
        else:
            found = _mixed(facts, name, train, test)
        findings += [found] if found else []
    findings += _later(facts)
    said = f"{len(facts.look.times):,} columns of times"
    return Checked("times", said, findings, _measured(facts))


def _measured(facts: Facts) -> dict[str, Any]:
    return {
        name: {
            which: None if r is None else {"first": _shown(facts, name, r[0]),
                                           "last": _shown(facts, name, r[1]), "rows": r[2]}
            for which, r in zip(SETS, ranges, strict=True)
        }
        for name, ranges in facts.look.times.items()
    }  # fmt: skip


def _broken(facts: Facts, name: str, train: Range, test: Range) -> Finding:
    last, first = _shown(facts, name, train[1]), _shown(facts, name, test[0])
    what = f"the split is by this time, but the last training row ({last}) is not before the "
    what += f"first test row ({first})"
    return Finding("times", "fail", name, what, {"last_train": last, "first_test": first})


def _mixed(facts: Facts, name: str, train: Range, test: Range) -> Finding | None:
    """Sets that overlap in time, where the rows were not divided by it."""
    values = facts.column(name)
    later = float(np.mean(values.train >= test[0])) if len(values.train) else 0.0
    last, first = _shown(facts, name, train[1]), _shown(facts, name, test[0])
    measured: dict[str, Any] = {"last_train": last, "first_test": first, "later": round(later, 4)}
    line = facts.split_by("time", name)
    if facts.split.by == "column" and 0 < later < MOST:
        what = f"the sets look like those of a time split, but {later:.1%} of the training rows are"
        what += (
            f" not before the first test row: the last is of {last}, the test set begins {first}"
        )
        return Finding("times", "fail", name, what, measured, line)
    score = univariate.nearby(values.train, values.test, facts.labels)
    if score is None:
        return None
    metric, limit = METRIC[facts.target.task], ORDER[facts.target.task]
    limit = round(max(limit, univariate.chance(facts.labels)), 4)
    measured |= {"value": score, "limit": limit}
    what = "rows of the same time are in both sets, and the "
    what += f"{univariate.NEIGHBOURS} training rows next in time "
    what += f"tell a test row's label with {metric} {score:.4f}"
    if score < limit:
        what += f" (below {limit}): the order of rows seems not to matter"
        return Finding("times", "info", name, what, measured)
    what += f" (from {limit} on that matters): rows to be scored that come later will be harder"
    severity: Severity = "info" if facts.split.by == "group" else "warn"
    return Finding("times", severity, name, what, measured, line)


def _later(facts: Facts) -> list[Finding]:
    """Times that the models use and that come after the row's own."""
    base = _own_time(facts)
    if base is None:
        return []
    start, findings = facts.column(base).train, []
    for name in facts.look.times:
        if name == base or name not in facts.used:
            continue
        values = facts.column(name).train
        known = ~(np.isnan(values) | np.isnan(start))
        if not known.any():
            continue
        after = float(np.mean(values[known] > start[known]))
        never = float(np.mean(values[known] >= start[known]))
        if after < LATER or never < NEVER_BEFORE:
            continue
        hint, why = after_the_fact(name, sorted(facts.source.target))
        score = facts.best(name)
        sure = bool(hint) or (score is not None and score.strength != "")
        what = f"in {after:.1%} of the rows it is later than {base}, and never before it"
        what += f"; {why}" if hint else ""
        findings.append(
            Finding(
                "times", "fail" if sure else "warn", name, what,
                {"later": round(after, 4), "than": base}, facts.without(name),
            )
        )  # fmt: skip
    return findings


def _own_time(facts: Facts) -> str | None:
    """The time of a row: that of the split; else, of several, the one that is mostly first."""
    if facts.split.by == "time":
        return facts.split.column
    times = [n for n in facts.look.times if facts.source[n].kind == "datetime"]
    if len(times) < 2:
        return None
    with np.errstate(all="ignore"):
        medians = {n: float(np.nanmedian(v)) for n in times if len(v := facts.column(n).train)
                   and not np.isnan(v).all()}  # fmt: skip
    return min(medians, key=lambda name: medians[name], default=None)


def _shown(facts: Facts, name: str, value: Any) -> Any:
    """A time as text; a number as it is."""
    if facts.source[name].kind != "datetime":
        return value if np.isfinite(value) else str(value)
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)).isoformat()
    except OverflowError:  # of a year that Python does not know
        return f"{value} µs"
