"""Checks that the steps of a loaded plan fit each other, their columns and the models' features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """Check that each step finds its columns, and the models theirs, in the dtypes expected.

    Raises:
        InputError: one does not; names the file and the step.
    """
    there: dict[str, Dtype] = {c.name: c.dtype for c in source}
    kinds = {c.name: c.kind for c in source}
    for number, (step, entry) in enumerate(zip(steps, plan.steps, strict=True)):
        place = f"steps.{number}"
        try:
            reads, made, removed = step.reads, step.produces, step.removes
        except PipelineError as error:
            raise misfit_error(path, place, error.message) from None
        if reads != entry.reads or [c.name for c in made] != entry.produces:
            raise misfit_error(path, place, "reads and produces are not those of its op and schema")
        _check_reads(reads, step.schema, there, path, place)
        for name in removed:
            there.pop(name, None)
        there |= {c.name: c.dtype for c in made}
        kinds |= {c.name: c.kind for c in made}
    for number, feature in enumerate(features):
        if feature.name not in there or kinds[feature.name] in ("text", "datetime"):
            raise misfit_error(
                path, f"features.{number}", "must be a numeric column of the last step"
            )
        if (feature.kind == "c") != (kinds[feature.name] == "category"):
            raise misfit_error(path, f"features.{number}.kind", "is not that of its column")
    if len({feature.name for feature in features}) < len(features):
        raise misfit_error(path, "features", "one is there twice")
    _check_filters(plan.filters, source, path)


def _check_reads(
    reads: Sequence[str], schema: Schema, there: Mapping[str, Dtype], path: Path, place: str
) -> None:
    for name in reads:
        if there.get(name) != schema[name].dtype:
            now = there.get(name, "absent")
            raise misfit_error(
                path, place, f"reads {name!r:.80} as {schema[name].dtype}, which is {now}"
            )


def _check_filters(filters: Sequence[str], source: Schema, path: Path) -> None:
    for number, text in enumerate(filters):
        try:
            found = parse(text).check(source).dtype
        except PipelineError as error:
            raise misfit_error(path, f"filters.{number}", error.message) from None
        if found != "bool":
            raise misfit_error(path, f"filters.{number}", f"is {found}, not true or false")
