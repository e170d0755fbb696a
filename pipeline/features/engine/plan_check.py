"""Checks of a loaded plan: its steps must fit each other, their columns and the features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.stored import misfit_error
from pipeline.errors import PipelineError
from pipeline.expression import parse
from pipeline.features.engine.plan_file import StoredPlan
from pipeline.features.engine.transform import Step
from pipeline.matrix import Feature
from pipeline.schema import Dtype, Schema


def check_plan(
    source: Schema, steps: Sequence[Step], plan: StoredPlan, features: Sequence[Feature], path: Path
) -> None:
    """Check that each step and the models find their columns in the expected dtypes.

    Raises:
        InputError: a column is missing or has another dtype; names the file and the step.
    """
    dtypes: dict[str, Dtype] = {c.name: c.dtype for c in source}
    kinds = {c.name: c.kind for c in source}
    # Follow the columns through the steps, as a run does: a damaged plan must not reach the data.
    for number, (step, entry) in enumerate(zip(steps, plan.steps, strict=True)):
        place = f"steps.{number}"
        try:
            reads, produced, removed = step.reads, step.produces, step.removes
        except PipelineError as error:
            raise misfit_error(path, place, error.message) from None
        if reads != entry.reads or [c.name for c in produced] != entry.produces:
            raise misfit_error(path, place, "reads and produces are not those of its op and schema")
        for name in reads:
            expected, actual = step.schema[name].dtype, dtypes.get(name, "absent")
            if actual != expected:
                rule = f"reads {name!r:.80} as {expected}, which is {actual}"
                raise misfit_error(path, place, rule)
        for name in removed:
            dtypes.pop(name, None)
        dtypes |= {c.name: c.dtype for c in produced}
        kinds |= {c.name: c.kind for c in produced}
    for number, feature in enumerate(features):
        if feature.name not in dtypes or kinds[feature.name] in ("text", "datetime"):
            raise misfit_error(
                path, f"features.{number}", "must be a numeric column of the last step"
            )
        if (feature.kind == "c") != (kinds[feature.name] == "category"):
            raise misfit_error(path, f"features.{number}.kind", "is not that of its column")
    if len({feature.name for feature in features}) < len(features):
        raise misfit_error(path, "features", "a column is listed twice")
    _check_filters(plan.filters, source, path)


def _check_filters(filters: Sequence[str], source: Schema, path: Path) -> None:
    # Filters see the columns of the data only, whatever the steps produce.
    for number, text in enumerate(filters):
        try:
            dtype = parse(text).check(source).dtype
        except PipelineError as error:
            raise misfit_error(path, f"filters.{number}", error.message) from None
        if dtype != "bool":
            raise misfit_error(path, f"filters.{number}", f"is {dtype}, not true or false")
