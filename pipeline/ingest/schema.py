"""Inference of a source's contract, and the check of every file against it before work starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pipeline.config.model import Data, Source
from pipeline.console.plural import quantify
from pipeline.errors import ConfigError, SchemaError, shorten, suggest_or_list
from pipeline.ingest import parquet
from pipeline.ingest.contract import NEW_DATA, Contract
from pipeline.ingest.csv import dialect as dialects
from pipeline.ingest.csv import infer_missing, type_inference
from pipeline.ingest.csv.date_formats import is_zoned
from pipeline.ingest.csv.date_order import note_dates, share_order
from pipeline.ingest.csv.loose_values import add_bool_words
from pipeline.ingest.csv.records import split_records
from pipeline.ingest.csv.types import SourceColumn, is_flag, make_asked_column
from pipeline.ingest.folder_columns import infer_folders
from pipeline.ingest.formats.convert import open_files
from pipeline.ingest.labels.target import parse_target
from pipeline.ingest.reading_note import ReadingNote
from pipeline.ingest.sources.byte_ranges import detect_encoding
from pipeline.ingest.sources.encodings import UTF8
from pipeline.ingest.sources.files import (
    File,
    add_folder_keys,
    find_files,
)

HEADER = 64 << 10
"""Bytes read of each file to check its header."""
ColumnsByName = dict[str, SourceColumn | None]
"""Columns of a Parquet file; None if all values of one are missing."""


def infer_contract(source: Source, where: str = "data") -> Contract:
    """Infer the contract of a source from Parquet's footers, or from a sample of CSV values.

    Args:
        source: paths, format and types.
        where: the source's key in the config, for messages (``data``, ``data.tables.weather``).

    Raises:
        InputError: a file does not exist or cannot be read.
        SchemaError: files differ in columns or types, or do not have the format of their names.
        ConfigError: ``types`` names a column that does not exist.
    """
    readable = open_files(find_files(source), source, where)
    if readable.format == "parquet":
        contract = _infer_from_parquet(readable.files, readable.source, where)
    else:
        contract = _infer_from_csv(readable.files, readable.source, where)
    contract = readable.add_to(contract)
    names = [c.name for c in contract.columns]
    for name in source.types:
        if name not in names and name not in contract.unreadable:
            raise ConfigError(
                f"{where}.types: there is no column {name!r}", fix=suggest_or_list(name, names)
            )
    return contract


def match_contract(
    trained: Contract, source: Source, needed: list[str], keep: Sequence[str] = ()
) -> Contract:
    """Match new data with the contract of the run, whose types they are read with.

    Columns that the run lacks are named in ``extra`` and not read, unless they are in ``keep``.

    Raises:
        InputError: a file does not exist or cannot be read.
        SchemaError: needed columns are missing or have another type.
    """
    readable = open_files(find_files(source), source, NEW_DATA)
    files, source = readable.files, readable.source
    types = {c.name: c.config_type for c in trained.columns}
    # A CSV has no types of its own, so every column gets that of the run. The types of Parquet are
    # checked for the columns that are needed only.
    needed_types = {n: t for n, t in types.items() if n in set(needed)}

    def infer(files: list[File]) -> Contract:
        if readable.format == "parquet":
            typed = source.model_copy(update={"types": needed_types})
            return _infer_from_parquet(files, typed, NEW_DATA, trained)
        typed = source.model_copy(update={"types": types})
        return _infer_from_csv(files, typed, NEW_DATA, trained)

    contract = readable.add_to(infer(files))
    folders = {c.name for c in trained.columns if c.partition} & set(needed)
    if outside := sorted(folders - {c.name for c in contract.columns}):
        # The source is one folder of the data, or a file in it: its keys are above the path.
        contract = infer([add_folder_keys(file, outside) for file in files])
        contract = readable.add_to(contract)
    columns = {c.name: c for c in contract.columns}
    if lacking := [name for name in needed if name not in columns]:
        spare = sorted(set(columns) - set(types))
        examples = []
        for name in lacking:
            example = f"- {name} ({types[name]})"
            if name in contract.unreadable:
                examples.append(f"{example}: {contract.unreadable[name]}")
            else:
                examples.append(f"{example} {suggest_or_list(name, spare)}".rstrip())
        raise SchemaError(
            f"{files[0].path}: {quantify(len(lacking), 'needed column')} missing",
            examples=examples,
            fix="rename or add them: the models were trained on them",
        )
    used = {*types, *keep}
    return replace(
        contract,
        columns=tuple(c for c in contract.columns if c.name in used),
        extra=tuple(n for n in columns if n not in used),
    )


# -- CSV --------------------------------------------------------------------------------------


def _infer_from_csv(
    files: list[File], source: Source, where: str, trained: Contract | None = None
) -> Contract:
    options = source.storage_options
    encoding = source.csv.encoding
    file, first = detect_encoding(files[0], options, type_inference.HEAD, encoding)
    dialect = dialects.infer_dialect(first, file.path, source.csv)
    if trained is not None and trained.dialect is not None:
        before = trained.dialect
        dialect = replace(dialect, missing=before.missing, inferred_missing=before.inferred_missing)
    others = [_check_header(other, file.path, dialect, source) for other in files[1:]]
    files = [file, *others]
    sample = type_inference.sample_values(files, dialect, options)
    if trained is None and sample.row_bytes is None:
        raise _no_rows_error(files[0].path, first, dialect)
    run = {c.name: replace(c, partition=False) for c in trained.columns} if trained else {}

    def infer(name: str, values: list[str]) -> SourceColumn:
        # A run on Parquet knows types, but not how a CSV writes them, except for the zone of times.
        is_written = trained is not None and trained.format == "csv"
        if name in run and (is_written or run[name].dtype == "datetime"):
            return type_inference.reinfer_column(run[name], values, dialect)
        column = type_inference.infer_column(name, values, source.types.get(name), dialect)
        flag = run[name].is_flag if name in run else is_flag(column, values, dialect)
        return replace(column, is_flag=flag)

    class_columns = {c.name for c in trained.columns if c.keeps_words} if trained else set()
    if isinstance(source, Data):
        known_names = [*dialect.names, *dict(files[0].partitions)]
        class_columns |= set(parse_target(source.target, known_names).columns)
    changeable = "" if trained else where
    inferred = infer_missing.infer_columns(
        sample, dialect, infer, config=source.csv, where=changeable, class_columns=class_columns
    )
    folders = infer_folders(files, source.types, set(dialect.names))
    columns = inferred.columns
    if trained is None:
        columns = share_order(columns, sample.values, source.types)
    date_notes = note_dates(columns, sample.values, source.types, changeable)
    encoding_notes = _note_encodings(files, where) if encoding is None else ()
    return Contract(
        "csv",
        tuple(columns + folders),
        tuple(files),
        add_bool_words(inferred.dialect) if trained else inferred.dialect,
        row_bytes=sample.row_bytes,
        storage_options=options,
        notes=(
            *encoding_notes,
            *inferred.notes,
            *date_notes,
            *type_inference.note_formats(inferred.columns, sample, changeable),
        ),
        where=where,
    )


def _check_header(file: File, first: str, dialect: dialects.Dialect, source: Source) -> File:
    """Return the file with its encoding, once its header is known to be that of the first file."""
    options, encoding = source.storage_options, source.csv.encoding
    file, head = detect_encoding(file, options, HEADER, encoding)
    names = dialects.read_header(head, file.path, dialect)
    if names != dialect.names:
        difference = _compare(dict.fromkeys(dialect.names, ""), dict.fromkeys(names, ""))
        raise SchemaError(
            f"{file.path} does not have the columns of {first}",
            examples=difference or ["the same columns in another order"],
            fix="give all files of the source one header",
        )
    return file


def _note_encodings(files: Sequence[File], where: str) -> Iterator[ReadingNote]:
    """Yield a note per encoding other than UTF-8 that was detected."""
    for encoding, count in Counter(file.encoding for file in files).items():
        if encoding != UTF8:
            these = "" if count == len(files) else f" in {count:,} of {len(files):,} files"
            change = None if where == NEW_DATA else f"{where}.csv.encoding: NAME"
            yield ReadingNote("encoding", f"the text is read as {encoding}{these}", None, change)


def _no_rows_error(path: str, head: bytes, dialect: dialects.Dialect) -> SchemaError:
    """Return the error for a sample without a record that has as many fields as the header."""
    start, _ = dialects.find_data_start(head, dialect)
    record = next(split_records(head[start:], dialect), None)
    if record is None or not dialect.header:
        return SchemaError(f"{path} has a header but no rows", fix="name files with rows")
    header = dialect.delimiter.join(dialect.names)
    return SchemaError(
        f"{path}: no line has as many fields as the first line, which names the columns",
        examples=[f"its first line: {shorten(header)}", f"then: {shorten(record.text)}"],
        fix="remove the lines above the header, such as: tail -n +3 OLD > NEW",
    )


def _compare(expected: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return lines ``- missing``, ``+ extra`` and ``~ retyped`` from types by column name."""
    lines = [f"- {n} {t}".rstrip() for n, t in expected.items() if n not in other]
    lines += [f"+ {n} {t}".rstrip() for n, t in other.items() if n not in expected]
    retyped = [n for n in expected if n in other and other[n] != expected[n]]
    return lines + [f"~ {n}: {expected[n]} → {other[n]}" for n in retyped]


# -- Parquet ----------------------------------------------------------------------------------


def _infer_from_parquet(
    files: list[File], source: Source, where: str, trained: Contract | None = None
) -> Contract:
    rows = 0
    merged: ColumnsByName = {}
    unreadable: dict[str, str] = {}
    for file in files:
        with parquet.open_parquet(file, source.storage_options) as reader:
            rows += reader.metadata.num_rows
            columns, reasons = parquet.list_source_columns(reader.schema_arrow, file.path)
        unreadable |= reasons
        merged = merged or columns
        _check_same_types(merged, columns, files[0], file, source.types)
        _check_readable(columns, file, source.types, trained)
        # a column that is all missing here gets its type from another file
        merged = {n: c or columns[n] for n, c in merged.items()}
    if trained is None and not rows:
        raise SchemaError(f"{files[0].path} has columns but no rows", fix="name files with rows")
    typed: list[SourceColumn] = []
    for name, stored in merged.items():
        # a column of only missing values is read as float
        column = make_asked_column(name, source.types.get(name, "float"))
        if stored is not None and (name not in source.types or column.type == stored.type):
            typed.append(stored)
            continue
        if stored is not None and column.pattern and stored.pattern:
            # it shows whether the file's times have a zone
            column = replace(column, pattern=stored.pattern)
        typed.append(column)
    folders = infer_folders(files, source.types, set(merged))
    return Contract(
        "parquet",
        tuple(typed + folders),
        tuple(files),
        rows=rows,
        unreadable=unreadable,
        storage_options=source.storage_options,
        where=where,
    )


def _describe_type(column: SourceColumn | None) -> str:
    if column is None:
        return ""
    return f"{column.type} with zone" if is_zoned(column.pattern) else column.type


def _check_same_types(
    merged: ColumnsByName,
    columns: ColumnsByName,
    first: File,
    file: File,
    types: Mapping[str, str],
) -> None:
    # The config gives some types, and columns whose values are all missing fit any.
    missing = {n for n, c in columns.items() if n in merged and (c is None or merged[n] is None)}
    free = {*types, *missing}
    before, after = (
        {n: "" if n in free else _describe_type(c) for n, c in x.items()} for x in (merged, columns)
    )
    if difference := _compare(before, after):
        raise SchemaError(
            f"{file.path} does not have the columns of {first.path}",
            examples=difference,
            fix="give the files of one source the same columns and types "
            "(types: {name: float} reads integers and floats as one)",
        )


def _check_readable(
    columns: ColumnsByName,
    file: File,
    types: Mapping[str, str],
    trained: Contract | None,
) -> None:
    """Check each column of a file against the type that it will be read as."""
    run = {c.name: c for c in trained.columns} if trained else {}
    for name, column in columns.items():
        asked = types.get(name)
        if asked is None or (asked == "text" and trained is None):
            continue
        # Times with and without a zone have one type, but another meaning.
        is_time = column is not None and column.type == "datetime"
        is_time = is_time and name in run and run[name].type == "datetime"
        other_zone = is_time and _describe_type(column) != _describe_type(run[name])
        if other_zone or not parquet.is_readable_as(column, asked):
            must = _describe_type(run[name]) if name in run else asked
            raise SchemaError(
                f"{file.path}, column {name!r} is {_describe_type(column)}, it must be {must}",
                fix="write it with the type that the models were trained on"
                if trained
                else "read it as it is and convert it with the op `cast`",
            )
