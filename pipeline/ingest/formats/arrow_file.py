"""Feather and Arrow IPC, as files or streams, to Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import SchemaError
from pipeline.ingest.formats.copies import write_copy
from pipeline.ingest.formats.parquet_copy import write_parquet
from pipeline.ingest.parquet import to_source_column
from pipeline.ingest.sources.converted import ConvertedFile
from pipeline.ingest.sources.files import File
from pipeline.ingest.sources.filesystems import open_file

MAGIC = b"ARROW1"
OLD_FEATHER = b"FEA1"


def convert(file: File, options: Mapping[str, object]) -> ConvertedFile:
    """Convert a file, record batch by record batch.

    Columns of types that are not read (lists, structs, durations, …) are left out.

    Raises:
        SchemaError: it is not an Arrow file, or it is damaged.
    """
    if file.compression is not None:
        raise SchemaError(
            f"{file.path} is compressed as a whole",
            fix="unpack it; Arrow files may be compressed inside: compression='zstd'",
        )
    with open_file(file.path, options) as raw, write_copy("parquet") as (beside, path):
        try:
            schema, batches = _open_batches(raw, file)
            numbers = [i for i, field in enumerate(schema) if _is_read(field)]
            fields = [pa.field(schema[i].name, _to_stored_type(schema[i].type)) for i in numbers]
            stored = pa.schema(fields)
            tables = (
                pa.Table.from_arrays(
                    [_convert(b.column(i), f.type) for i, f in zip(numbers, fields, strict=True)],
                    schema=stored,
                )
                for b in batches
            )
            write_parquet(beside, stored, tables)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk is full, or the file unreadable
            raise SchemaError(
                f"{file.path} is not a readable Arrow file: {str(error).splitlines()[0]}",
                fix="write or copy the file again; it may not have been written to the end",
            ) from None
        size = beside.stat().st_size
    reasons = ((f.name, f"its Arrow type is {f.type}") for f in schema if not _is_read(f))
    return ConvertedFile(str(path), size, "parquet", unreadable=tuple(reasons))


def _open_batches(raw: Any, file: File) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    head = raw.read(len(MAGIC))
    raw.seek(0)
    if head.startswith(OLD_FEATHER):
        raise SchemaError(
            f"{file.path} is Feather of version 1, which is not read",
            fix="write it again: pyarrow.feather.write_feather(table, path)",
        )
    source = pa.PythonFile(raw, "r")
    if head == MAGIC:
        reader = pa.ipc.open_file(source)
        numbers = range(reader.num_record_batches)
        return reader.schema, (reader.get_batch(number) for number in numbers)
    stream = pa.ipc.open_stream(source)
    return stream.schema, iter(stream)


def _is_read(field: pa.Field) -> bool:
    kind = _to_stored_type(field.type)
    return pa.types.is_null(kind) or to_source_column(field.name, kind) is not None


def _to_stored_type(kind: pa.DataType) -> pa.DataType:
    """Return the type in Parquet: one type of text, and no dictionaries."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _to_stored_type(kind.value_type)
    return pa.large_string() if pa.types.is_string_view(kind) else kind


def _convert(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if pa.types.is_dictionary(array.type):
        # Arrow cannot cast a dictionary whose values are string views.
        return _convert(array.dictionary, kind).take(array.indices)
    return array if array.type == kind else array.cast(kind)
