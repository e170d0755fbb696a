"""Inference of a source's contract, and the check of every file against it before work starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from pipeline.config.model import Source
from pipeline.console.plural import quantify
from pipeline.errors import ConfigError, SchemaError, suggest_or_list
from pipeline.ingest import parquet, parquet_match
from pipeline.ingest.column_names import (
    find_column,
    match_header,
    match_source,
    suggest_column,
)
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv.header import UNNAMED
from pipeline.ingest.csv.types import SourceColumn, make_asked_column
from pipeline.ingest.folder_columns import infer_folders
from pipeline.ingest.formats.convert import open_files
from pipeline.ingest.infer_csv import compare_columns, infer_from_csv
from pipeline.ingest.reading_note import NEW_DATA, ReadingNote, merge_notes, suggest_type
from pipeline.ingest.sources.files import (
    File,
    add_folder_keys,
)

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
    readable = open_files(source, where)
    if readable.format == "parquet":
        contract = _infer_from_parquet(readable.files, readable.source, where)
    else:
        contract = infer_from_csv(readable.files, readable.source, where)
    contract = readable.add_to(contract)
    names = [c.name for c in contract.columns]
    for name in match_source(source, [*names, *contract.unreadable], where).types:
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
    readable = open_files(source, NEW_DATA)
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
        return infer_from_csv(files, typed, NEW_DATA, trained)

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
                examples.append(f"{example} {suggest_column(name, spare)}".rstrip())
        raise SchemaError(
            f"{files[0].path}: {quantify(len(lacking), 'needed column')} missing",
            examples=examples,
            fix="rename or add them: the models were trained on them",
        )
    used = {*types, *(find_column(name, columns) or name for name in keep)}
    return replace(
        contract,
        columns=tuple(c for c in contract.columns if c.name in used),
        extra=tuple(n for n in columns if n not in used),
    )


def _infer_from_parquet(
    files: list[File], source: Source, where: str, trained: Contract | None = None
) -> Contract:
    rows = 0
    merged: ColumnsByName = {}
    unreadable: dict[str, str] = {}
    match = None
    if trained is not None:
        match = parquet_match.NewParquet(trained.columns, set(source.types), trained.dialect)
    flags: dict[str, bool] = {}
    read: list[File] = []
    for original in files:
        file = original
        with parquet.open_parquet(file, source.storage_options) as reader:
            rows += reader.metadata.num_rows
            arrow = reader.schema_arrow
            names = [*arrow.names, *file.table_columns, *dict(file.partitions)]
            if match is None:
                source = match_source(source, names, where)
            else:
                file, arrow = _rename_columns(file, arrow, match_header(names, source.types))
            columns, reasons = parquet.list_source_columns(arrow, file.path, source.types)
            if match is not None:
                match.add(reader, file, columns)
            else:
                zero_or_one = parquet_match.find_flags(reader.metadata, columns)
                flags = {n: flags.get(n, True) and n in zero_or_one for n in columns}
        unreadable |= reasons
        read.append(file)
        lacking = {n for n in file.table_columns if n not in columns and n not in reasons}
        columns |= dict.fromkeys(sorted(lacking))
        merged = merged or columns
        _check_same_types(merged, columns, files[0], file, source.types)
        if match is None:
            _check_readable(columns, file, source.types)
        # a column that is all missing here gets its type from another file
        merged = {n: c or columns[n] for n, c in merged.items()}
    if match is None and not rows:
        raise SchemaError(f"{files[0].path} has columns but no rows", fix="name files with rows")
    typed = {n: _ask_type(n, c, source.types, flags) for n, c in merged.items()}
    typed |= match.columns if match else {}
    folders = infer_folders(files, source.types, set(merged))
    return Contract(
        "parquet",
        (*typed.values(), *folders),
        tuple(read),
        match.dialect if match else None,
        rows=rows,
        unreadable={n: reason for n, reason in unreadable.items() if n not in typed},
        storage_options=source.storage_options,
        notes=merge_notes(match.notes) if match else tuple(_note_index(unreadable, where)),
        where=where,
    )


def _ask_type(
    name: str, stored: SourceColumn | None, types: Mapping[str, str], flags: Mapping[str, bool]
) -> SourceColumn:
    """Return a column of the files in the type that the config gives, if it gives one."""
    # a column of only missing values is read as float
    column = make_asked_column(name, types.get(name, "float"))
    if stored is not None and (name not in types or column.type == stored.type):
        return replace(stored, is_flag=flags.get(name, False))
    if stored is not None and column.pattern and stored.pattern:
        # it shows whether the file's times have a zone
        return replace(column, pattern=stored.pattern)
    return column


def _rename_columns(
    file: File, arrow: pa.Schema, renamed: Mapping[str, str]
) -> tuple[File, pa.Schema]:
    """Return a file and its schema with the run's names of the columns that have others."""
    stored = {*arrow.names, *file.table_columns}
    stored_names = tuple((name, at) for at, name in renamed.items() if at in stored)
    names = {at: name for name, at in stored_names}
    fields = [field.with_name(names.get(field.name, field.name)) for field in arrow]
    table_columns = tuple(names.get(name, name) for name in file.table_columns)
    file = replace(file, table_columns=table_columns, stored_names=stored_names)
    return file, pa.schema(fields)


def _note_index(unreadable: Mapping[str, str], where: str) -> Iterator[ReadingNote]:
    """Yield a note per column of pandas that holds labels of rows."""
    for name, reason in unreadable.items():
        if reason == parquet.INDEX:
            yield ReadingNote("column", f"left out: {reason}", name)
        elif reason == UNNAMED:
            change = suggest_type(where, name, "integer")
            yield ReadingNote("column", f"left out: {reason}", name, change)


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
        {n: "" if n in free else parquet_match.describe_type(c) for n, c in x.items()}
        for x in (merged, columns)
    )
    if difference := compare_columns(before, after):
        raise SchemaError(
            f"{file.path} does not have the columns of {first.path}",
            examples=difference,
            fix="give the files of one source the same columns and types "
            "(types: {name: float} reads integers and floats as one)",
        )


def _check_readable(columns: ColumnsByName, file: File, types: Mapping[str, str]) -> None:
    """Check each column of a file against the type that the config gives."""
    for name, column in columns.items():
        asked = types.get(name, "text")
        if asked != "text" and not parquet.is_readable_as(column, asked):
            raise SchemaError(
                f"{file.path}, column {name!r} is {parquet_match.describe_type(column)}, "
                f"it must be {asked}",
                fix="read it as it is and convert it with the op `cast`",
            )
