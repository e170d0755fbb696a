"""Writes a config from the data: what was found, what was chosen, and why, as YAML to be edited."""

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
from pipeline.ingest.contract import Contract
from pipeline.ingest.labels import target as targets
from pipeline.ingest.labels.assign import is_target_missing
from pipeline.ingest.labels.target import InferredTarget
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract
from pipeline.schema import RESERVED, Schema

SAMPLE_ROWS = 200_000
BLOCK_BYTES = 4 << 20
"""Of a block that is looked at, for each 1,000 columns begun: a block costs about 0.2 ms a column,
however few rows it has."""
SHOWN = 30  # columns named one by one in a comment
LINE = 100


@dataclass(frozen=True)
class SampleSummary:
    """What a sample of the data tells."""

    rows: int
    """Records in the files (of CSV: lines)."""
    sampled: int
    bad: int
    """Rows of the sample that cannot be read as the schema says."""
    schema: Schema
    profile: dict[str, Any]
    settled: InferredTarget
    choices: tuple[ColumnChoice, ...]
    unreadable: dict[str, str]


def make_config(data: str | Sequence[str], target: str) -> str:
    """The text of a config for these files and this target.

    Reads the schema, and a sample of at most about 200,000 rows from all over the files.

    Args:
        data: files, folders, globs or URLs.
        target: a column, or an expression over columns.

    Raises:
        InputError: the files cannot be read, or the target does not fit them.
    """
    paths = [data] if isinstance(data, str) else list(data)
    source = validate(Data, {"path": paths, "target": target}, "data")
    found = examine_data(source)
    parts = [_head(source, found), _data(source, found), _split(found), _features(found), _foot()]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def examine_data(source: Data) -> SampleSummary:
    """Reads the sample, settles the task, and chooses the ops."""
    contract = infer_contract(source)
    expression = targets.parse_target(source.target, contract.schema.names)
    with targets.name_target_in_errors():
        expression.check(contract.schema)
    schema = replace(contract.schema.drop(RESERVED), target=frozenset(expression.columns))
    planned = plan_blocks(contract, BLOCK_BYTES * -(-len(schema.names) // 1_000))
    looked = schema.drop(schema.target)
    context = TransformContext(device="cpu", seed=0, task="regression", n_classes=0)
    seen, values, sampled, bad = None, None, 0, 0
    for block in _spread(planned):
        frame, rejected = read_block(block, contract, schema.names, cpu, "quarantine")
        sampled, bad = sampled + len(frame), bad + (0 if rejected is None else len(rejected))
        value = targets.summarise_target(expression.evaluate(frame, cpu), cpu)
        values = value if values is None else targets.merge_summaries(values, value)
        frame = frame[~is_target_missing(frame, expression, cpu)]
        summary = profiles.summarise(frame, looked, context)
        seen = summary if seen is None else profiles.merge(seen, summary)
    if seen is None or values is None:  # no rows at all: the target's summary says so
        empty = cpu.empty_frame(list(schema))
        values = targets.summarise_target(expression.evaluate(empty, cpu), cpu)
        seen = profiles.summarise(empty, looked, context)
    settled = targets.infer_target(values, source)
    profile = profiles.finish(seen, looked)
    choices = choose_per_column(looked, profile, settled.target)
    rows = sum(block.rows for block in planned)  # of CSV the lines: a record may have several
    if len(_spread(planned)) == len(planned):
        rows = sampled + bad
    return SampleSummary(
        rows, sampled, bad, schema, profile, settled,
        tuple(choices), _unreadable(contract),
    )  # fmt: skip


def _spread(planned: Sequence[Block]) -> list[Block]:
    """Blocks from all over the files with about `SAMPLE_ROWS` rows; at least one."""
    total = sum(block.rows for block in planned)
    wanted = max(1, int(len(planned) * SAMPLE_ROWS / max(total, 1)))
    if wanted >= len(planned):
        return list(planned)
    step = (len(planned) - 1) / max(wanted - 1, 1)
    return [planned[i] for i in sorted({round(k * step) for k in range(wanted)})]


def _unreadable(contract: Contract) -> dict[str, str]:
    kept = sorted(RESERVED & set(contract.schema.names))
    return {**contract.unreadable, **dict.fromkeys(kept, "the pipeline keeps this name for itself")}


# -- the text -----------------------------------------------------------------------------------


def _head(source: Data, found: SampleSummary) -> list[str]:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", _stem(source.path[0])).strip("._-")[:64] or "run"
    share = "all" if found.sampled + found.bad >= found.rows else f"{found.sampled:,} of"
    return [
        "# Written by `python -m pipeline init`: a first choice, to be edited.",
        f"# Counts below are of {share} {found.rows:,} rows. Run: python -m pipeline run FILE",
        f"name: {_flow(name)}",
        "seed: 0",
    ]


def _stem(path: str) -> str:
    """The file's name without endings; of a glob or folder, the last part that says something."""
    parts = [p for p in PurePath(path).parts if not re.search(r"[*?\[]", p)]
    return parts[-1].split(".")[0] if parts else ""


def _data(source: Data, found: SampleSummary) -> list[str]:
    path = source.path[0] if len(source.path) == 1 else list(source.path)
    lines = [
        "data:",
        f"  path: {_flow(path)}",
        f"  target: {_flow(source.target)}",
        f"  # {found.settled.why}: {_comment(str(found.settled.target))}",
        f"  task: {found.settled.target.task}  # binary, multiclass or regression",
    ]
    if found.bad:
        lines += [
            f"  # {found.bad:,} rows of the sample have values that their column's type does not",
            "  # allow: `on_bad_rows: quarantine` sets such rows aside instead of stopping.",
        ]
    return lines


def _split(found: SampleSummary) -> list[str]:
    """By time where one datetime column has a value in every row; else at random."""
    times = [
        c.name for c in found.schema if c.kind == "datetime" and c.name not in found.schema.target
    ]
    columns = found.profile["columns"]
    usable = [n for n in times if not columns[n]["missing"] and not columns[n]["constant"]]
    if len(times) == len(usable) == 1:
        return [
            f"# {_comment(times[0])} is the only time and no row lacks it: the last rows judge the",
            "# models, as they would in use. If rows do not depend on time: {by: random}.",
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


def _features(found: SampleSummary) -> list[str]:
    lines = ["# Drop what is known only after the target: a model would learn from the future."]
    left = [c.column for c in found.choices if not c.ops and not c.dropped]
    lines += _wrapped("# Numbers and bools, left as they are: ", left)
    for name, reason in list(found.unreadable.items())[:SHOWN]:
        lines.append(f"# {_comment(name)} is not read: {_comment(reason)}")
    entries = to_entries(found.choices)
    if not entries:
        return [*lines, "features: []"]
    lines.append("features:")
    choices = {c.column: c for c in found.choices}
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
        "# What is trained; null leaves one out. All parameters: python -m pipeline schema",
        "models:",
        "  xgboost: {}",
        "  forest: {}",
    ]


def _wrapped(start: str, names: Sequence[str]) -> list[str]:
    """A comment that lists names, in lines of about `LINE` characters."""
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
    """A value as YAML on one line, which reads back as the same value."""
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("...").strip()


def _comment(text: str) -> str:
    """Text of the data that stays within its comment."""
    return "".join(c if c.isprintable() else "�" for c in str(text))
