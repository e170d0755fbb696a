"""Checks by refitting: whether fitted state used rows or labels that it must not use."""

from __future__ import annotations

from typing import Any

from pipeline.audit import refit
from pipeline.audit.evidence import CheckResult, Evidence
from pipeline.audit.finding import Finding
from pipeline.audit.refit import Refit, SampledRun
from pipeline.errors import PipelineError
from pipeline.features.ops.lag import Lag


def check_fitted(sampled: SampledRun, base: Refit, evidence: Evidence) -> CheckResult:
    """Refit with other values and labels in all rows that do not train."""
    # The sets follow from the split's column, and a series' order keeps later rows later: both
    # must keep their values.
    column = sampled.context.job.config.split.column
    fixed = {column} if column else set()
    fixed |= {step.op.order for step in base.plan.steps if isinstance(step.op, Lag)}
    # A cast refuses values that do not fit, so its inputs get values of training rows only.
    tame = {n for step in base.plan.steps if step.op.name == "cast" for n in step.reads}
    perturbed = refit.perturb_held_out_rows(sampled, fixed=fixed, tame=tame)
    replaced, steps = int((~sampled.training_mask).sum()), len(base.plan.steps)
    try:
        other = refit.refit_features(perturbed)
    except PipelineError as error:
        what = (
            f"the features cannot be fitted with other values in {replaced:,} held-out rows: "
            f"{error.message}"
        )
        return CheckResult("fitted", "the refit failed", [Finding("fitted", "fail", "", what)])
    findings = _compare_refits(base, other, perturbed, evidence)
    training = len(evidence.train.ids)
    summary = (
        f"{steps:,} steps refitted on {training:,} training rows, with values and labels of "
        f"{replaced:,} other rows replaced: {len(findings):,} differ"
    )
    measured = {"training_rows": training, "replaced_rows": replaced, "steps": steps}
    return CheckResult("fitted", summary, findings, measured)


def _compare_refits(
    base: Refit, other: Refit, perturbed: SampledRun, evidence: Evidence
) -> list[Finding]:
    if not refit.is_same_choice(base, other) or base.plan.names != other.plan.names:
        what = "the choice of features depends on rows that do not train"
        return [Finding("fitted", "fail", "", what)]
    findings = []
    for number, where in refit.find_changed_states(base.plan, other.plan):
        step = base.plan.steps[number]
        columns = [c.name for c in step.produces]
        what = f"the fitted state of {step.op.name} ({where}) depends on rows that do not train"
        measured: dict[str, Any] = {"step": number, "op": step.op.name, "state": where}
        config = evidence.suggest_drop([n for n in columns if n in evidence.plan.names])
        findings.append(Finding("fitted", "fail", ", ".join(columns), what, measured, config))
    after = refit.build_matrices(perturbed, other.plan)["train"]
    changed = refit.find_changed_columns(evidence.train, after, base.plan.names)
    # A changed state explains changed columns: one finding is enough.
    if changed and not findings:
        what = "the training rows' values depend on rows that do not train"
        config = evidence.suggest_drop(changed)
        lag = next((s.op for s in base.plan.steps if isinstance(s.op, Lag)), None)
        if lag is not None and evidence.split.by != "time":
            what += ": lag reads earlier rows of all sets, and the split is not by time"
            config = evidence.suggest_split("time", lag.order)
        measured = {"columns": changed}
        findings.append(Finding("fitted", "fail", ", ".join(changed), what, measured, config))
    return findings


def check_encodings(sampled: SampledRun, base: Refit, evidence: Evidence) -> CheckResult:
    """Refit with labels flipped: a row's own encoding must not change."""
    flips = list(refit.flip_labels(sampled, base))
    if not flips:
        return CheckResult("encodings", "no op encodes with the target")
    findings = []
    for flip in flips:
        if not flip.moved:
            continue
        what = (
            f"with the labels of {flip.flipped:,} training rows flipped, the encodings of "
            f"{flip.moved:,} of them changed: a row's encoding contains its own label"
        )
        measured = {"flipped": flip.flipped, "moved": flip.moved}
        config = evidence.suggest_drop([n for n in flip.columns if n in evidence.plan.names])
        columns = ", ".join(flip.columns)
        findings.append(Finding("encodings", "fail", columns, what, measured, config))
    flipped, others = sum(f.flipped for f in flips), sum(f.others for f in flips)
    moved = sum(f.moved for f in flips)
    summary = (
        f"{len(flips):,} refits with {flipped:,} labels flipped: {moved:,} encodings of these rows "
        f"changed, and {others:,} of other training rows"
    )
    measured = {"refits": len(flips), "flipped": flipped, "moved": moved, "others_moved": others}
    return CheckResult("encodings", summary, findings, measured)
