"""A first config for new data, as YAML with the reason for each choice, to be edited."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import yaml

from pipeline.config.model import Data
from pipeline.config.validation import validate
from pipeline.device import cpu
from pipeline.features.auto import profile as profiles
from pipeline.features.auto.choose import ColumnChoice, choose_per_column, to_entries
from pipeline.features.engine.transform import TransformContext
from pipeline.ingest.blocks import Block, plan_blocks
from pipeline.ingest.column_names import match_source
from pipeline.ingest.contract import Contract
from pipeline.ingest.labels import target as targets
from pipeline.ingest.labels.assign import is_target_missing
from pipeline.ingest.labels.target import InferredTarget
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract
from pipeline.schema import RESERVED, Schema

SAMPLE_ROWS = 200_000
BLOCK_BYTES = 4 << 20
"""Bytes of a sampled block, per 1,000 columns: a block costs about 0.2 ms per column, however few
rows it has."""
SHOWN = 30  # columns named one by one in a comment
LINE = 100


@dataclass(frozen=True)
class SampleSummary:
    """The facts from a sample of the data."""

    rows: int
    """Records in the files; for CSV, lines."""
    sampled: int
    bad: int
    """Rows of the sample whose values do not fit the schema."""
    schema: Schema
    profile: dict[str, Any]
    resolved_target: InferredTarget
    choices: tuple[ColumnChoice, ...]
    unreadable: dict[str, str]


def make_config(data: str | Sequence[str], target: str) -> str:
    """Write the text of a config for these files and this target.

    Reads the schema, and a sample of at most about 200,000 rows from all over the files.

    Args:
        data: Files, folders, globs or URLs.
        target: A column, or an expression over columns.

    Raises:
        InputError: The files cannot be read, or the target does not fit them.
    """
    paths = [data] if isinstance(data, str) else list(data)
    source = validate(Data, {"path": paths, "target": target}, "data")
    summary = examine_data(source)
    parts = [
        _head(source, summary),
        _data(source, summary),
        _split(summary),
        _features(summary),
        _foot(),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def examine_data(source: Data) -> SampleSummary:
    """Read a sample of the data, infer the task, and choose the ops."""
    contract = infer_contract(source)
    source = match_source(source, contract.schema.names, "data")
    expression = targets.parse_target(source.target, contract.schema.names)
    with targets.name_target_in_errors():
        expression.check(contract.schema)
    schema = replace(contract.schema.drop(RESERVED), target=frozenset(expression.columns))
    planned = plan_blocks(contract, BLOCK_BYTES * -(-len(schema.names) // 1_000))
    features = schema.drop(schema.target)
    context = TransformContext(device="cpu", seed=0, task="regression", n_classes=0)
    seen, values, sampled, bad = None, None, 0, 0
    for block in _spread(planned):
        frame, rejected = read_block(block, contract, schema.names, cpu, "quarantine")
        sampled, bad = sampled + len(frame), bad + (0 if rejected is None else len(rejected))
        value = targets.summarise_target(expression.evaluate(frame, cpu), cpu)
        values = value if values is None else targets.merge_summaries(values, value)
        frame = frame[~is_target_missing(frame, expression, cpu)]
        summary = profiles.summarise(frame, features, context)
        seen = summary if seen is None else profiles.merge(seen, summary)
    if seen is None or values is None:  # without rows the target's summary raises the error
        empty = cpu.empty_frame(list(schema))
        values = targets.summarise_target(expression.evaluate(empty, cpu), cpu)
        seen = profiles.summarise(empty, features, context)
    resolved_target = targets.infer_target(values, source)
    profile = profiles.finish(seen, features)
    choices = choose_per_column(features, profile, resolved_target.target)
    rows = sum(block.rows for block in planned)  # for CSV lines, because a record may have several
    if len(_spread(planned)) == len(planned):
        rows = sampled + bad
    return SampleSummary(
        rows, sampled, bad, schema, profile, resolved_target,
        tuple(choices), _unreadable(contract),
    )  # fmt: skip


def _spread(planned: Sequence[Block]) -> list[Block]:
    """Select blocks from all over the files with about `SAMPLE_ROWS` rows; at least one."""
    total = sum(block.rows for block in planned)
    wanted = max(1, int(len(planned) * SAMPLE_ROWS / max(total, 1)))
    if wanted >= len(planned):
        return list(planned)
    step = (len(planned) - 1) / max(wanted - 1, 1)
    return [planned[i] for i in sorted({round(k * step) for k in range(wanted)})]


def _unreadable(contract: Contract) -> dict[str, str]:
    reserved = sorted(RESERVED & set(contract.schema.names))
    return {**contract.unreadable, **dict.fromkeys(reserved, "the pipeline reserves this name")}


# -- the text -----------------------------------------------------------------------------------


def _head(source: Data, summary: SampleSummary) -> list[str]:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", _stem(source.path[0])).strip("._-")[:64] or "run"
    share = "all" if summary.sampled + summary.bad >= summary.rows else f"{summary.sampled:,} of"
    return [
        "# Written by `python -m pipeline init`: a first choice, to be edited.",
        f"# Counts below are of {share} {summary.rows:,} rows. Run: python -m pipeline run FILE",
        f"name: {_flow(name)}",
        "seed: 0",
    ]


def _stem(path: str) -> str:
    """Return the name of a file without endings, or the last part of a folder or glob."""
    parts = [p for p in PurePath(path).parts if not re.search(r"[*?\[]", p)]
    return parts[-1].split(".")[0] if parts else ""


def _data(source: Data, summary: SampleSummary) -> list[str]:
    path = source.path[0] if len(source.path) == 1 else list(source.path)
    lines = [
        "data:",
        f"  path: {_flow(path)}",
        f"  target: {_flow(source.target)}",
        f"  # {summary.resolved_target.why}: {_comment(str(summary.resolved_target.target))}",
        f"  task: {summary.resolved_target.target.task}  # binary, multiclass or regression",
    ]
    if summary.bad:
        lines += [
            f"  # {summary.bad:,} rows of the sample have values that their column's type does not",
            "  # allow: `on_bad_rows: quarantine` sets such rows aside instead of stopping.",
        ]
    return lines


def _split(summary: SampleSummary) -> list[str]:
    """Split by time if exactly one datetime column has a value in every row, else at random."""
    times = [
        c.name
        for c in summary.schema
        if c.kind == "datetime" and c.name not in summary.schema.target
    ]
    columns = summary.profile["columns"]
    usable = [n for n in times if not columns[n]["missing"] and not columns[n]["constant"]]
    if len(times) == len(usable) == 1:
        return [
            f"# {_comment(times[0])} is the only column of times, and every row has one. The",
            "# models are tested on the last rows, as in later use. If time does not matter, use",
            "# {by: random}.",
            f"split: {{by: time, column: {_flow(times[0])}, valid: 0.1, test: 0.2}}",
        ]
    why = "No column is a time"
    if times:
        why = (
            f"Times: {_comment(', '.join(times[:5]))}; to predict the future, split by one of them"
        )
    return [
        f"# {why}. Rows that belong together (a customer's, a day's) should",
        "# be split together: {by: group, column: …}.",
        "split: {by: random, valid: 0.1, test: 0.2}",
    ]


def _features(summary: SampleSummary) -> list[str]:
    lines = ["# Drop what is known only after the target: a model would learn from the future."]
    left = [c.column for c in summary.choices if not c.ops and not c.dropped]
    lines += _wrapped("# Numbers and bools, left as they are: ", left)
    for name, reason in list(summary.unreadable.items())[:SHOWN]:
        lines.append(f"# {_comment(name)} is not read: {_comment(reason)}")
    entries = to_entries(summary.choices)
    if not entries:
        return [*lines, "features: []"]
    lines.append("features:")
    choices = {c.column: c for c in summary.choices}
    for entry in entries:
        ((op, parameters),) = entry.items()
        names = parameters["columns"] if op != "derive" else []
        lines += [f"  # {_comment(n)}: {_comment(choices[n].why)}" for n in names[:SHOWN]]
        if len(names) > SHOWN:
            lines.append(f"  # … and {len(names) - SHOWN} more columns")
        lines.append(f"  - {op}: {_flow(names if op == 'drop' else parameters)}")
    return lines


def _foot() -> list[str]:
    return [
        "# The models to train; null leaves a model out. All parameters: python -m pipeline schema",
        "models:",
        "  xgboost: {}",
        "  forest: {}",
    ]


def _wrapped(start: str, names: Sequence[str]) -> list[str]:
    """Format a comment that lists names, in lines of about `LINE` characters."""
    if not names:
        return []
    shown = [_comment(n) for n in names[: SHOWN * 2]]
    shown += ["…"] if len(names) > len(shown) else []
    lines, current = [], start
    for i, name in enumerate(shown):
        word = name + (", " if i < len(shown) - 1 else "")
        if len(current) + len(word) > LINE and current.strip() != "#":
            lines.append(current.rstrip())
            current = "#   "
        current += word
    return [*lines, current.rstrip()]


def _flow(value: Any) -> str:
    """Format a value as YAML on one line, which reads back as the same value."""
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("...").strip()


def _comment(text: str) -> str:
    """Replace characters that could end the comment in which a text of the data stands."""
    return "".join(c if c.isprintable() else "�" for c in str(text))
