"""Problems in JSON Lines: types that do not fit together, and the line where they are."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa

from pipeline.errors import DataError, SchemaError, shorten


def array_error(path: str) -> SchemaError:
    """Return the error for a file with one JSON array."""
    return SchemaError(
        f"{path} is a JSON array, which is not read",
        fix="write it as JSON Lines, one object per line; in pandas: "
        "frame.to_json('new.jsonl', orient='records', lines=True)",
    )


def merge_types(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    """Return the type that holds the values of both; None if there is none."""
    if a == b or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    if {a, b} == {pa.int64(), pa.float64()}:
        return pa.float64()
    # Columns of objects and lists are not read, so what is in them does not matter.
    is_same_kind = name_type(a) == name_type(b) and pa.types.is_nested(a)
    return a if is_same_kind else None


def name_type(kind: pa.DataType) -> str:
    """Return the word for the values of a type in messages."""
    if pa.types.is_boolean(kind):
        return "a bool"
    if pa.types.is_struct(kind):
        return "an object"
    if pa.types.is_list(kind):
        return "a list"
    return "text" if pa.types.is_string(kind) else "a number"


def explain(
    path: str, block: bytes, line: int, types: Mapping[str, pa.DataType], reason: str
) -> DataError:
    """Return the error for a block that cannot be read, with the first line that is the cause.

    Args:
        path: the file's.
        block: whole lines.
        line: number of the block's first line.
        types: of the columns in the blocks before.
        reason: the message for a cause that is not found.
    """
    seen = {
        name: (name_type(kind), "the lines before have")
        for name, kind in types.items()
        if not pa.types.is_null(kind)
    }
    for number, text in enumerate(block.split(b"\n"), line):
        if not text.strip():
            continue
        place = f"{path}, line {number:,}"
        try:
            record = json.loads(text.decode("utf-8-sig" if number == 1 else "utf-8"))
        except ValueError as error:
            cause = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            return DataError(
                f"{place} is not JSON: {cause}", fix="write one object per line, as UTF-8"
            )
        if not isinstance(record, dict):
            return DataError(
                f"{place} is not an object: {shorten(record)}",
                fix='write one object per line: {"column": value, …}',
            )
        for name, value in record.items():
            if value is None:
                continue
            kind = _name_value(value)
            before, where = seen.setdefault(name, (kind, f"line {number:,} has"))
            if kind != before:
                return DataError(
                    f"{place}, column {name!r}: {shorten(value)} is {kind}, and {where} {before}",
                    fix="write all values of the column in one type, such as text",
                )
    return DataError(
        f"{path}: the lines from {line:,} on cannot be read: {reason}",
        fix="write all values of a column in one type",
    )


def _name_value(value: object) -> str:
    if isinstance(value, bool):
        return "a bool"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else "a number"
