"""The findings of refitting: what is fitted, and whether it saw rows or labels that it must not."""

from __future__ import annotations

from pipeline.audit import refit
from pipeline.audit.evidence import CheckResult, Evidence
from pipeline.audit.finding import Finding
from pipeline.audit.refit import Refit, SampledRun
from pipeline.errors import PipelineError
from pipeline.features.ops.lag import Lag
from pipeline.matrix import Matrix


def check_fitted(of: SampledRun, base: Refit, evidence: Evidence) -> CheckResult:
    """Refits with other values and labels in all rows that do not train."""
    kept, tame = _left_alone(of, base)
    other_rows = refit.perturb_held_out_rows(of, kept=kept, tame=tame)
    held, steps = int((~of.training_mask).sum()), len(base.plan.steps)
    try:
        other = refit.refit_features(other_rows)
    except PipelineError as error:
        what = f"with other values in {held:,} held-out rows the features cannot be fitted: "
        found = Finding("fitted", "fail", "", what + error.message)
        return CheckResult("fitted", "the refit failed", [found])
    findings = _findings(base, other, other_rows, evidence.train, evidence)
    training = len(evidence.train.ids)
    said = (
        f"{steps:,} steps refitted on {training:,} training rows, with values and labels of "
        f"{held:,} other rows replaced: {len(findings):,} differ"
    )
    measured = {"training_rows": training, "replaced_rows": held, "steps": steps}
    return CheckResult("fitted", said, findings, measured)


def _left_alone(of: SampledRun, base: Refit) -> tuple[set[str], set[str]]:
    """Columns that keep their values, and those that get values of training rows only.

    What the sets follow from must stay; and the order of a series, for later rows to stay later.
    A cast refuses values that do not fit.
    """
    column = of.session.job.config.split.column
    kept = {column} if column else set()
    kept |= {step.op.order for step in base.plan.steps if isinstance(step.op, Lag)}
    tame = {n for step in base.plan.steps if step.op.name == "cast" for n in step.reads}
    return kept, tame


def _findings(
    base: Refit, other: Refit, other_rows: SampledRun, before: Matrix, evidence: Evidence
) -> list[Finding]:
    if not refit.is_same_choice(base, other) or base.plan.names != other.plan.names:
        what = "rows that do not train have a say in which features are made"
        return [Finding("fitted", "fail", "", what)]
    found = []
    for number, where in refit.find_changed_states(base.plan, other.plan):
        step = base.plan.steps[number]
        made = [c.name for c in step.produces]
        found.append(
            Finding(
                "fitted", "fail", ", ".join(made),
                f"what {step.op.name} has fitted ({where}) depends on rows that do not train",
                {"step": number, "op": step.op.name, "state": where},
                evidence.suggest_drop([n for n in made if n in evidence.plan.names]),
            )
        )  # fmt: skip
    after = refit.build_matrices(other_rows, other.plan)["train"]
    moved = refit.find_changed_columns(before, after, base.plan.names)
    if moved and not found:
        found.append(_of_training_rows(moved, base, evidence))
    return found


def _of_training_rows(moved: list[str], base: Refit, evidence: Evidence) -> Finding:
    lag = next((s.op for s in base.plan.steps if isinstance(s.op, Lag)), None)
    what = "the training rows' values depend on rows that do not train"
    line = evidence.suggest_drop(moved)
    if lag is not None and evidence.split.by != "time":
        what += ": lag looks back at rows of all sets, and the split is not by time"
        line = evidence.suggest_split("time", lag.order)
    return Finding("fitted", "fail", ", ".join(moved), what, {"columns": moved}, line)


def check_encodings(of: SampledRun, base: Refit, evidence: Evidence) -> CheckResult:
    """Refits with labels flipped; a row's own encoding must not move."""
    flips = list(refit.flip_labels(of, base))
    if not flips:
        return CheckResult("encodings", "no op encodes with the target")
    findings = [
        Finding(
            "encodings", "fail", ", ".join(flip.columns),
            f"with the labels of {flip.flipped:,} training rows flipped, the encodings of "
            f"{flip.moved:,} of them changed: a row's encoding holds its own label",
            {"flipped": flip.flipped, "moved": flip.moved},
            evidence.suggest_drop([n for n in flip.columns if n in evidence.plan.names]),
        )
        for flip in flips if flip.moved
    ]  # fmt: skip
    flipped, others = sum(f.flipped for f in flips), sum(f.others for f in flips)
    moved = sum(f.moved for f in flips)
    said = (
        f"{len(flips):,} refits with {flipped:,} labels flipped: of these rows {moved:,} encodings "
        f"changed, of other training rows {others:,}"
    )
    return CheckResult(
        "encodings", said, findings,
        {"refits": len(flips), "flipped": flipped, "moved": moved, "others_moved": others},
    )  # fmt: skip
