"""JSON Lines to Parquet: the types are inferred from all lines first, then the rows are written."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.json as pj

from pipeline.errors import DataError, SchemaError
from pipeline.ingest.formats import json_problems
from pipeline.ingest.formats.copies import write_copy
from pipeline.ingest.formats.parquet_copy import write_parquet
from pipeline.ingest.sources.byte_ranges import LONGEST, open_stream
from pipeline.ingest.sources.converted import ConvertedFile
from pipeline.ingest.sources.files import File

BLOCK = 16 << 20
"""Bytes that are parsed at a time."""
TIMES = tuple(pa.timestamp(unit, zone) for zone in (None, "UTC") for unit in ("us", "ns"))
"""Types of a column of text whose values are all times of ISO 8601, the first that fits."""


@dataclass
class InferredTypes:
    """The types of the columns in the blocks so far, in the order of their first appearance."""

    types: dict[str, pa.DataType] = field(default_factory=dict)
    times: dict[str, tuple[pa.DataType, ...]] = field(default_factory=dict)
    """Types of times that all values of a column of text have."""


def convert(file: File, options: Mapping[str, object]) -> ConvertedFile:
    """Convert a file block by block; a column that a line lacks is missing there.

    Columns of objects and lists are left out.

    Raises:
        DataError: a line is not a JSON object, or a column has values of several types.
        SchemaError: the file is a JSON array, or no line has a column.
    """
    inferred = InferredTypes()
    for line, block in _read_blocks(file, options):
        _infer_block(inferred, block, line, file)
    kinds = inferred.types
    nested = {n: k for n, k in kinds.items() if pa.types.is_nested(k)}
    if not kinds:
        raise SchemaError(f"{file.path} has no lines with columns", fix="name files with rows")
    parsed = pa.schema([(n, k) for n, k in kinds.items() if n not in nested])
    stored = pa.schema(
        [(n, (inferred.times.get(n) or (parsed.field(n).type,))[0]) for n in parsed.names]
    )
    with write_copy("parquet") as (beside, path):
        tables = (_parse(block, parsed).cast(stored) for _, block in _read_blocks(file, options))
        write_parquet(beside, stored, tables)
        size = beside.stat().st_size
    reasons = (
        (name, f"its values are {'objects' if pa.types.is_struct(kind) else 'lists'}")
        for name, kind in nested.items()
    )
    return ConvertedFile(str(path), size, "parquet", unreadable=tuple(reasons))


def _read_blocks(file: File, options: Mapping[str, object]) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines, about `BLOCK` bytes at a time, with the number of the first line."""
    line, rest = 1, b""
    with open_stream(file, options) as stream:
        while more := bytes(stream.read(BLOCK)):
            data = rest + more
            end = data.rfind(b"\n") + 1
            if line == 1 and data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
                raise json_problems.array_error(file.path)
            if len(data) - end > LONGEST:
                raise DataError(
                    f"{file.path}: a line after line {line:,} is longer than {LONGEST >> 20} MB",
                    fix="write one object per line",
                )
            if end:
                yield line, data[:end]
            line, rest = line + data.count(b"\n", 0, end), data[end:]
    if rest:
        yield line, rest


def _parse(block: bytes, schema: pa.Schema | None) -> pa.Table:
    # In one piece, so that the result does not depend on the number of threads.
    options = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
    parse = pj.ParseOptions(
        explicit_schema=schema,
        unexpected_field_behavior="infer" if schema is None else "ignore",
    )
    return pj.read_json(io.BytesIO(block), read_options=options, parse_options=parse)


def _infer_block(inferred: InferredTypes, block: bytes, line: int, file: File) -> None:
    """Merge the types of a block with those of the blocks before it."""
    if not block.strip():
        return
    try:
        table = _parse(block, None)
        if times := [f.name for f in table.schema if pa.types.is_timestamp(f.type)]:
            # Arrow takes some times for such. As text they show whether they have a zone.
            text = _parse(block, pa.schema([(name, pa.string()) for name in times]))
            for name in times:
                table = table.set_column(table.column_names.index(name), name, text[name])
    except pa.ArrowInvalid as error:
        raise json_problems.explain(file.path, block, line, inferred.types, str(error)) from None
    for name in table.column_names:
        values = table[name]
        before = inferred.types.get(name, pa.null())
        merged = json_problems.merge_types(before, values.type)
        if merged is None:
            raise json_problems.explain(file.path, block, line, inferred.types, f"column {name!r}")
        inferred.types[name] = merged
        if pa.types.is_string(values.type):
            tried = inferred.times.get(name, TIMES)
            inferred.times[name] = tuple(kind for kind in tried if _is_time(values, kind))


def _is_time(values: pa.ChunkedArray, kind: pa.DataType) -> bool:
    try:
        values.slice(0, 100).cast(kind)  # most text fails here
        values.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
