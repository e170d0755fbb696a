"""Checks of single columns: those that predict the target alone, and suspicious names."""

from __future__ import annotations

from pipeline.audit.evidence import CheckResult, Evidence
from pipeline.audit.finding import Finding, Severity
from pipeline.audit.suspicious_names import detect_future_hint
from pipeline.console.plural import quantify
from pipeline.evaluate.univariate import LIMITS, METRIC


def check_univariate(evidence: Evidence) -> CheckResult:
    """Score every column of the models' matrix alone."""
    rows = len(evidence.labels.test)
    task = evidence.target.task
    metric, (_, strong, decisive) = METRIC[task], LIMITS[task]
    if not evidence.labels.is_sufficient:
        summary = f"nothing scored: too few test rows ({rows:,}), or equal labels"
        return CheckResult("alone", summary)
    ranked = sorted(evidence.scores.items(), key=lambda item: -item[1].value)
    findings = []
    for name, score in ranked:
        if score.strength not in ("strong", "decisive"):
            continue
        limit = decisive if score.strength == "decisive" else strong
        what = (
            f"alone predicts the target almost perfectly: {metric} {score.value:.4f} on {rows:,} "
            f"test rows (reported from {limit} on)"
        )
        is_certain = score.strength == "decisive" and evidence.labels.is_conclusive
        severity: Severity = "fail" if is_certain else "warn"
        config, time = evidence.suggest_drop([name]), evidence.find_time_column(name)
        if time is not None and evidence.split.by != "time":
            # Rows next in time are in the training set: the score does not show what the column is
            # worth for later rows, so only another split can decide.
            what += f"; it is computed from {time}, and the split is not by time"
            severity, config = "warn", evidence.suggest_split("time", time)
        details = {"metric": metric, "value": score.value, "rows": rows}
        findings.append(Finding("alone", severity, name, what, details, config))
    summary = f"{quantify(len(ranked), 'column')} scored one by one on {quantify(rows, 'test row')}"
    if ranked:
        name, score = ranked[0]
        summary += f"; the highest {metric} is {score.value:.4f}, of {name}"
    measured = {"metric": metric, "scores": {name: score.value for name, score in ranked}}
    return CheckResult("alone", summary, findings, measured)


def check_names(evidence: Evidence) -> CheckResult:
    """Search the names of all columns that the models use for hints at the future."""
    metric, limit = METRIC[evidence.target.task], LIMITS[evidence.target.task][0]
    findings = []
    for name in evidence.used_columns:
        hint, reason = detect_future_hint(name, sorted(evidence.source.target))
        if not hint:
            continue
        score = evidence.find_best_score(name)
        # A name alone never fails; together with a notable score it does.
        is_confirmed = score is not None and score.strength != ""
        severity: Severity = "warn" if hint == "plain" or is_confirmed else "info"
        if is_confirmed and evidence.labels.is_conclusive:
            severity = "fail"
        what = f"may be known only after the fact: {reason}"
        if score is not None:
            what += f"; alone it has {metric} {score.value:.4f}"
            what += f" (confirmed from {limit} on)" if is_confirmed else ""
        measured = {"hint": hint, "value": None if score is None else score.value}
        config = evidence.suggest_without(name)
        findings.append(Finding("names", severity, name, what, measured, config))
    summary = f"{quantify(len(evidence.used_columns), 'name')} of columns that the models use"
    return CheckResult("names", summary, findings)
