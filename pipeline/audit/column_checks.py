"""Columns that predict the target almost alone, and columns whose names tell of the future."""

from __future__ import annotations

from pipeline.audit.evidence import Checked, Facts
from pipeline.audit.finding import Finding, Severity
from pipeline.audit.suspicious_names import after_the_fact
from pipeline.audit.univariate import LIMITS, METRIC, Score


def check_alone(facts: Facts) -> Checked:
    """Every column of the models' matrix, one by one."""
    task, rows = facts.target.task, len(facts.labels.test)
    metric, (_, strong, most) = METRIC[task], LIMITS[task]
    if not facts.labels.enough:
        return Checked("alone", f"{rows:,} test rows are too few, or all alike: nothing was scored")
    ranked = sorted(facts.scores.items(), key=lambda item: -item[1].value)
    findings = [
        _alone(name, score, most if score.strength == "alone" else strong, facts)
        for name, score in ranked
        if score.strength in ("strong", "alone")
    ]
    top = f"; the highest {metric} is {ranked[0][1].value:.4f}, of {ranked[0][0]}" if ranked else ""
    return Checked(
        "alone", f"{len(ranked):,} columns scored one by one on {rows:,} test rows{top}", findings,
        {"metric": metric, "scores": {name: score.value for name, score in ranked}},
    )  # fmt: skip


def _alone(name: str, score: Score, limit: float, facts: Facts) -> Finding:
    metric, rows = METRIC[facts.target.task], len(facts.labels.test)
    what = f"predicts the target almost alone: {metric} {score.value:.4f} on {rows:,} test rows"
    what += f" (from {limit} on it is told)"
    severity: Severity = "fail" if score.strength == "alone" and facts.labels.certain else "warn"
    line, time = facts.dropped([name]), facts.time_of(name)
    if time is not None and facts.split.by != "time":
        # of neighbours in time one is in the training set: that tells nothing of later times
        what += f"; it is made of {time}, and the split is not by time"
        severity, line = "warn", facts.split_by("time", time)
    measured = {"metric": metric, "value": score.value, "rows": rows}
    return Finding("alone", severity, name, what, measured, line)


def check_names(facts: Facts) -> Checked:
    """The names of all columns that the models' columns are made of."""
    findings = []
    for name in facts.used:
        hint, why = after_the_fact(name, sorted(facts.source.target))
        if not hint:
            continue
        score = facts.best(name)
        confirmed = score is not None and score.strength != ""
        severity: Severity = "warn" if hint == "plain" or confirmed else "info"
        if confirmed and facts.labels.certain:
            severity = "fail"
        what = f"may be known only afterwards: {why}"
        if score is not None:
            metric = METRIC[facts.target.task]
            limit = LIMITS[facts.target.task][0]
            what += f"; alone it has {metric} {score.value:.4f}"
            what += f" (from {limit} on that confirms it)" if confirmed else ""
        findings.append(
            Finding(
                "names", severity, name, what,
                {"hint": hint, "value": None if score is None else score.value},
                facts.without(name),
            )
        )  # fmt: skip
    return Checked("names", f"{len(facts.used):,} names of columns that the models use", findings)
