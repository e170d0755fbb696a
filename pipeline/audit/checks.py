"""The audit's list of checks, in the order in which they run and are printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.audit.column_checks import check_names, check_univariate
from pipeline.audit.drift import check_drift
from pipeline.audit.evidence import CheckResult, Evidence
from pipeline.audit.label_mean import check_label_mean
from pipeline.audit.near_rows import check_near_rows
from pipeline.audit.noisy_copy import check_noisy_copy
from pipeline.audit.overlap import check_entities, check_rows
from pipeline.audit.temporal import check_times

# A check's name is an identifier: users pass it to `--accept`, and ``audit.json`` stores it.
CHECKS: Mapping[str, Callable[[Evidence], CheckResult]] = {
    "rows": check_rows,
    "near_rows": check_near_rows,
    "entities": check_entities,
    "times": check_times,
    "alone": check_univariate,
    "label_mean": check_label_mean,
    "noisy_copy": check_noisy_copy,
    "names": check_names,
    "drift": check_drift,
}
