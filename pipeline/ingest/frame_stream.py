"""Frames of any library as streams of Arrow batches, through the Arrow C stream interface."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import DataError, SchemaError, shorten
from pipeline.ingest.column_names import match_header
from pipeline.ingest.parquet import PANDAS_INDEX, to_source_column

CONVERSION_ERRORS = (ValueError, TypeError, OverflowError, NotImplementedError, pa.ArrowException)
FAILED_COLUMN = re.compile(r"Conversion failed for column (.*) with type ", re.S)
SHOWN = 5
"""Number of columns that a message names."""


@dataclass(frozen=True)
class FrameStream:
    """The columns of a frame, and its rows in batches, which can be read once."""

    schema: pa.Schema
    """Text is ``large_string``, whatever the frame has; there is no dictionary and no metadata."""
    batches: Iterator[pa.RecordBatch]
    """Reading them raises a DataError if the frame's library fails."""
    renamed: tuple[str, ...]
    """Names that were not text and became text."""


def open_stream(frame: Any, needed: Collection[str] | None = None) -> FrameStream:
    """Open a frame as a stream.

    The index of a pandas frame is a column if it has a name and is more than a count of the rows,
    as in a Parquet file of the frame; otherwise it is left out.

    Args:
        frame: an object with ``__arrow_c_stream__`` (pandas, Polars, pyarrow, …), or with
            a method ``to_arrow`` (cuDF, as long as its frames lack the interface).
        needed: the columns whose values are needed, all of which must be readable. The frame may
            spell their names with other blanks or in another case. Other columns have a name only.
            None: all columns, and lists and the like have no values.

    Raises:
        SchemaError: it is not a frame, has no columns, two of one name, or types that Parquet
            cannot keep.
        DataError: the values of a column have no common type.
    """
    renamed = _find_renamed(frame)
    reader = _open_reader(frame)
    names = reader.schema.names
    _refuse_repeated(names)
    positions = [i for i, name in enumerate(names) if not PANDAS_INDEX.fullmatch(name)]
    if not positions:
        raise SchemaError("the frame has no columns", fix="pass a frame with the target's column")
    fields = [reader.schema.field(i) for i in positions]
    if needed is not None:
        matched = match_header(names, needed)
        fields = [f.with_name(matched.get(f.name, f.name)) for f in fields]
        fields = [f if f.name in needed else pa.field(f.name, pa.null()) for f in fields]
    _refuse_unstorable(fields, strict=needed is not None)
    schema = pa.schema([pa.field(f.name, _to_stored_type(f.type)) for f in fields])
    return FrameStream(schema, _convert_batches(reader, positions, schema), renamed)


def _find_renamed(frame: Any) -> tuple[str, ...]:
    """Return the names of a pandas or cuDF frame that are not text, and check that none repeats."""
    if not hasattr(frame, "iloc"):  # other libraries have no names but text
        return ()
    if not hasattr(frame, "columns"):
        kind = type(frame).__name__
        raise SchemaError(
            f"a frame is needed, this is a {kind}",
            fix="make it a frame with one column: .to_frame()",
        )
    names = [*frame.columns, *(n for n in frame.index.names if n is not None)]
    _refuse_repeated([name_as_text(name) for name in frame.columns])
    return tuple(name_as_text(name) for name in names if not isinstance(name, str))


def name_as_text(name: object) -> str:
    """Return the text that Arrow makes of the name of a pandas column."""
    return str(tuple(map(name_as_text, name)) if isinstance(name, tuple) else name)


def _refuse_repeated(names: list[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise SchemaError(
            f"two columns of the frame are called {repeated[0]!r}",
            fix="give every column a name of its own; names that are not text become text",
        )


def _open_reader(frame: Any) -> pa.RecordBatchReader:
    try:
        with warnings.catch_warnings():
            # pandas warns of names that become text, which the run reports itself.
            warnings.simplefilter("ignore", UserWarning)
            if hasattr(frame, "__arrow_c_stream__"):
                return pa.RecordBatchReader.from_stream(frame)
            if callable(to_arrow := getattr(frame, "to_arrow", None)):
                return to_arrow().to_reader()
    except MemoryError:
        raise
    except CONVERSION_ERRORS as error:
        raise _explain_failure(frame, error) from None
    kind = type(frame).__name__
    fix = "convert it: pd.DataFrame(rows)"
    for method in ("collect", "compute"):
        if callable(getattr(frame, method, None)):
            fix = f"pass frame.{method}()"
    raise SchemaError(
        f"a frame is needed (pandas, Polars, pyarrow, cuDF), this is a {kind}", fix=fix
    )


def _explain_failure(frame: Any, error: BaseException) -> SchemaError | DataError:
    """Describe why a frame is not converted to Arrow, with the column and the row if possible."""
    text = " ".join(str(part) for part in error.args) or type(error).__name__
    if "non-struct" in text:
        kind = type(frame).__name__
        return SchemaError(
            f"a frame is needed, this is a {kind}",
            fix="make it a frame with one column: .to_frame()",
        )
    failure = FAILED_COLUMN.search(text)
    names = {name_as_text(name): name for name in getattr(frame, "columns", ())} if failure else {}
    if failure is None or failure[1] not in names:
        return SchemaError(
            f"the frame cannot be converted to Arrow: {shorten(text)}",
            fix="convert or drop the columns whose types Arrow does not have",
        )
    name = names[failure[1]]
    fix = f"give the column one type, such as text: frame[{name!r}].astype(str)"
    column = frame[name]
    present = column[~column.isna()]
    first = present.iloc[0]
    for label, value in zip(present.index, present, strict=True):
        if type(value) is not type(first):
            what = f"{shorten(value)} is {_type_name(value)}, and {shorten(first)} is"
            return DataError(
                f"column {str(name)!r}, row {label!r}: {what} {_type_name(first)}", fix=fix
            )
    reason = shorten(str(error.args[0]))
    return DataError(f"column {str(name)!r} cannot be converted to Arrow: {reason}", fix=fix)


def _type_name(value: object) -> str:
    return {"str": "text", "int": "an integer", "float": "a float", "bool": "a bool"}.get(
        type(value).__name__, f"a {type(value).__name__}"
    )


def _refuse_unstorable(fields: list[pa.Field], *, strict: bool) -> None:
    """Refuse durations, types that Parquet cannot keep, and if ``strict`` all that are not read.

    Raises:
        SchemaError: there are such columns; the message has a fix for the first one.
    """
    problems: dict[str, tuple[str, str]] = {}
    for field in fields:
        kind, name = field.type, field.name
        if pa.types.is_duration(kind):
            fix = f"convert it to a number (pandas: frame[{name!r}].dt.total_seconds()), or drop it"
            problems[name] = f"a duration ({kind})", fix
        # Once the library that defines an extension is absent, its storage passes for the values.
        elif (
            isinstance(kind, pa.BaseExtensionType)
            or not _can_store(_to_stored_type(kind))
            or (strict and not _is_read(field))
        ):
            problems[name] = f"of type {kind}", "convert it to text, a number or a time, or drop it"
    if problems:
        name, (what, fix) = next(iter(problems.items()))
        others = [f"{n!r} is {w}" for n, (w, _) in list(problems.items())[1:SHOWN]]
        raise SchemaError(
            f"column {name!r} of the frame is {what}, which is not read", examples=others, fix=fix
        )


def _can_store(kind: pa.DataType) -> bool:
    import pyarrow.parquet as pq

    try:
        pq.write_table(pa.schema([("x", kind)]).empty_table(), pa.MockOutputStream())
    except pa.ArrowException:
        return False
    return True


_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def _to_stored_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column in the stream: one type of text, and no dictionaries."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _to_stored_type(kind.value_type)
    if any(is_text(kind) for is_text in _TEXT):
        return pa.large_string()
    return pa.large_binary() if pa.types.is_binary_view(kind) else kind


def _convert_batches(
    reader: pa.RecordBatchReader, positions: list[int], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the columns at these positions in the types of the schema."""
    # Nothing reads such columns (lists, structs, …): only their types are of use, for messages.
    unread = {f.name for f in schema if not _is_read(f)}
    try:
        for batch in reader:
            columns = [
                pa.nulls(len(batch), field.type)
                if field.name in unread or pa.types.is_null(field.type)
                else _convert_array(batch.column(i), field.type)
                for i, field in zip(positions, schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
    except MemoryError:
        raise
    except CONVERSION_ERRORS as error:
        raise DataError(f"the frame's rows cannot be read: {shorten(str(error))}") from None


def _is_read(field: pa.Field) -> bool:
    return pa.types.is_null(field.type) or to_source_column(field.name, field.type) is not None


def _convert_array(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if pa.types.is_dictionary(array.type):
        # Arrow cannot cast a dictionary whose values are string views.
        return array.dictionary.cast(kind).take(array.indices)
    return array if array.type == kind else array.cast(kind)
