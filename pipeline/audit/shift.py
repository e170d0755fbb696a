"""The findings about columns that are distributed otherwise among the test rows."""

from __future__ import annotations

from pipeline.audit import drift
from pipeline.audit.drift import Drift
from pipeline.audit.evidence import Checked, Facts, Values
from pipeline.audit.finding import Finding, Severity
from pipeline.audit.lineage import encoded, features_of


def check_drift(facts: Facts) -> Checked:
    """The columns of the data that the models use, and those of their matrix that are made anew.

    Means of the target are left out: of training rows they are out of fold, of test rows not.
    """
    means = encoded(facts.plan)
    made = [n for n in facts.plan.names if n not in means]
    of_data = [n for n in facts.used if n in facts.look.sample]
    found = {n: _of(facts.column(n)) for n in of_data}
    found |= {n: _of(facts.feature(n)) for n in made if n not in found}
    findings = [_finding(name, own, facts) for name, own in found.items() if own.level]
    measured = {
        name: {"psi": own.psi, "chance": own.chance, "new": own.new, **own.facts}
        for name, own in found.items()
    }
    said = f"{len(found):,} columns, {len(findings):,} of them with a PSI of {drift.SOME} or more"
    return Checked("drift", said, findings, measured)


def _of(values: Values) -> Drift:
    if values.category:
        return drift.of_codes(values.train, values.test)
    return drift.of_numbers(values.train, values.test)


def _finding(name: str, found: Drift, facts: Facts) -> Finding:
    what = f"PSI {found.psi:.3f} between training and test rows"
    if found.new >= drift.SOME:
        what += f", and {found.facts['unseen']:,} test rows have a value that no training row has"
    elif beyond := found.facts.get("beyond_train"):
        what += f"; {beyond:,} test rows are beyond all training rows"
    measured = {"psi": found.psi, "chance": found.chance, "new": found.new, **found.facts}
    if name == facts.split.column:
        return Finding("drift", "info", name, what + ": the split is by it", measured)
    made = [name] if name in facts.plan.names else features_of(name, facts.made_of)
    severity: Severity = "warn" if found.level == "much" else "info"
    return Finding("drift", severity, name, what, measured, facts.dropped(made))
