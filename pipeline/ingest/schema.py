"""The schema of a source, settled once and checked for every file before work starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.config.model import ColumnType, Source
from pipeline.errors import ConfigError, SchemaError, shorten, suggest_or_list
from pipeline.ingest import parquet
from pipeline.ingest.contract import NEW_DATA, Contract
from pipeline.ingest.csv import dialect as dialects
from pipeline.ingest.csv import type_inference
from pipeline.ingest.csv.records import split_records
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn, find_misfits
from pipeline.ingest.sources.byte_ranges import read_head
from pipeline.ingest.sources.files import (
    DEFAULT_PARTITION,
    File,
    add_folder_keys,
    detect_format,
    find_files,
)

# How the names of key=value folders are parsed: as in a CSV file without words of its own.
WORDS = dialects.Dialect(",", None, False, (), False, ("",), ("true",), ("false",))
HEADER = 64 << 10  # bytes read of each file to check its header


def infer_contract(source: Source, where: str = "data") -> Contract:
    """The contract of a source: from Parquet's footers, or from a sample of CSV values.

    Args:
        source: paths, format and types.
        where: the source's key in the config, for messages (``data``, ``data.tables.weather``).

    Raises:
        InputError: the files are not there or cannot be read.
        SchemaError: files differ in columns or types, or are not what their names say.
        ConfigError: ``types`` names a column that does not exist.
    """
    files = find_files(source)
    if detect_format(files, source) == "parquet":
        contract = _parquet(files, source, where)
    else:
        contract = _csv(files, source, where)
    known = [c.name for c in contract.columns]
    for name in source.types:
        if name not in known and name not in contract.unreadable:
            raise ConfigError(
                f"{where}.types: there is no column {name!r}", fix=suggest_or_list(name, known)
            )
    return contract


def match_contract(
    wanted: Contract, source: Source, needed: list[str], keep: Sequence[str] = ()
) -> Contract:
    """The contract of new data, read with the types of the run's.

    Columns that ``wanted`` does not know are named in ``extra`` and not read, unless they are to
    be kept.

    Raises:
        InputError: the files are not there or cannot be read.
        SchemaError: needed columns are missing or of another type.
    """
    files = find_files(source)
    types = {c.name: c.type for c in wanted.columns}
    known = source.model_copy(update={"types": types})

    def contract(files: list[File]) -> Contract:
        if detect_format(files, source) == "parquet":
            return _parquet(files, _only(known, needed), NEW_DATA, wanted)
        return _csv(files, known, NEW_DATA, wanted)

    found = contract(files)
    folders = {c.name for c in wanted.columns if c.partition} & set(needed)
    if outside := sorted(folders - {c.name for c in found.columns}):
        # one folder of the data, or a file in it: its keys stand above what is named
        found = contract([add_folder_keys(file, outside) for file in files])
    columns = {c.name: c for c in found.columns}
    lacking = [name for name in needed if name not in columns]
    if lacking:
        spare = sorted(set(columns) - set(types))
        raise SchemaError(
            f"{files[0].path}: {len(lacking)} needed column(s) missing",
            examples=[_absent(n, types, found, spare) for n in lacking],
            fix="rename or add them: the models were trained on them",
        )
    read = {*types, *keep}
    return replace(
        found,
        columns=tuple(c for c in found.columns if c.name in read),
        extra=tuple(n for n in columns if n not in read),
    )


def _absent(name: str, types: Mapping[str, str], found: Contract, spare: list[str]) -> str:
    if name in found.unreadable:
        return f"- {name} ({types[name]}): {found.unreadable[name]}"
    return f"- {name} ({types[name]}) {suggest_or_list(name, spare)}".rstrip()


def _only(source: Source, needed: list[str]) -> Source:
    """Types are checked for the needed columns only."""
    known = set(needed)
    types = {n: t for n, t in source.types.items() if n in known}
    return source.model_copy(update={"types": types})


# -- CSV --------------------------------------------------------------------------------------


def _csv(files: list[File], source: Source, where: str, wanted: Contract | None = None) -> Contract:
    options = source.storage_options
    first = read_head(files[0], options, type_inference.HEAD)
    dialect = dialects.infer_dialect(first, files[0].path, source.csv)
    for file in files[1:]:
        names = dialects.read_header(read_head(file, options, HEADER), file.path, dialect)
        _same_names(dialect.names, names, files[0], file)
    sampled = type_inference.sample_values(files, dialect, options)
    if wanted is None and sampled.row_bytes is None:
        raise _no_rows(files[0].path, first, dialect)
    run = {c.name: replace(c, partition=False) for c in wanted.columns} if wanted else {}
    columns = [
        type_inference.reinfer_column(run[name], values, dialect)
        if name in run and (run[name].pattern == ZONED or (wanted and wanted.format == "csv"))
        else type_inference.infer_column(name, values, source.types.get(name), dialect)
        for name, values in zip(dialect.names, sampled.values, strict=True)
    ]
    folders = _folders(files, source.types, set(dialect.names))
    return Contract(
        "csv", tuple(columns + folders), tuple(files), dialect, row_bytes=sampled.row_bytes,
        storage_options=options, where=where,
    )  # fmt: skip


def _no_rows(path: str, beginning: bytes, dialect: dialects.Dialect) -> SchemaError:
    """No record of the sample has as many fields as the first, or there is none."""
    start, _ = dialects.find_data_start(beginning, dialect)
    next_one = next(split_records(beginning[start:], dialect), None)
    if next_one is None or not dialect.header:
        return SchemaError(f"{path} has a header but no rows", fix="name files with rows")
    header = dialect.delimiter.join(dialect.names)
    return SchemaError(
        f"{path}: no line has as many fields as the first line, which names the columns",
        examples=[f"its first line: {shorten(header)}", f"then: {shorten(next_one.text)}"],
        fix="remove what stands above the header, such as: tail -n +3 OLD > NEW",
    )


def _same_names(names: tuple[str, ...], other: tuple[str, ...], first: File, file: File) -> None:
    if names == other:
        return
    diff = _difference(dict.fromkeys(names, ""), dict.fromkeys(other, ""))
    raise SchemaError(
        f"{file.path} does not have the columns of {first.path}",
        examples=diff or ["the same columns in another order"],
        fix="the files of one source must have one header",
    )


def _difference(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """``- missing``, ``+ extra`` and ``~ retyped`` lines."""
    lines = [f"- {n} {t}".rstrip() for n, t in wanted.items() if n not in found]
    lines += [f"+ {n} {t}".rstrip() for n, t in found.items() if n not in wanted]
    return lines + [
        f"~ {n}: {wanted[n]} → {found[n]}" for n in wanted if found.get(n, wanted[n]) != wanted[n]
    ]


# -- Parquet ----------------------------------------------------------------------------------


def _parquet(
    files: list[File], source: Source, where: str, wanted: Contract | None = None
) -> Contract:
    rows = 0
    settled: dict[str, SourceColumn | None] = {}
    unreadable: dict[str, str] = {}
    for file in files:
        with parquet.open_parquet(file, source.storage_options) as reader:
            rows += reader.metadata.num_rows
            found, odd = parquet.list_source_columns(reader.schema_arrow, file.path)
        unreadable |= odd
        settled = settled or found
        _same_types(settled, found, files[0], file, source.types)
        _readable(found, file, source.types, wanted)
        settled = {n: c or found[n] for n, c in settled.items()}
    if wanted is None and not rows:
        raise SchemaError(f"{files[0].path} has columns but no rows", fix="name files with rows")
    columns = [_typed(n, c, source.types.get(n)) for n, c in settled.items()]
    folders = _folders(files, source.types, set(settled))
    return Contract(
        "parquet", tuple(columns + folders), tuple(files), rows=rows, unreadable=unreadable,
        storage_options=source.storage_options, where=where,
    )  # fmt: skip


def _told(column: SourceColumn | None) -> str:
    if column is None:
        return ""
    return f"{column.type} with zone" if column.pattern == ZONED else column.type


def _same_types(
    settled: dict[str, SourceColumn | None],
    found: dict[str, SourceColumn | None],
    first: File,
    file: File,
    types: Mapping[str, ColumnType],
) -> None:
    free = set(types) | {
        n for n in found if n in settled and (found[n] is None or settled[n] is None)
    }
    old, new = ({n: "" if n in free else _told(c) for n, c in x.items()} for x in (settled, found))
    if diff := _difference(old, new):
        raise SchemaError(
            f"{file.path} does not have the columns of {first.path}",
            examples=diff,
            fix="the files of one source need the same columns and types "
            "(types: {name: float} reads integers and floats as one)",
        )


def _readable(
    found: dict[str, SourceColumn | None],
    file: File,
    types: Mapping[str, ColumnType],
    wanted: Contract | None,
) -> None:
    """Checks each column of a file against the type it will be read as."""
    run = {c.name: c for c in wanted.columns} if wanted else {}
    for name, column in found.items():
        asked = types.get(name)
        if asked is None or (asked == "text" and wanted is None):
            continue
        zoned = name in run and column is not None and column.type == "datetime"
        moved = zoned and run[name].type == "datetime" and _told(column) != _told(run[name])
        if moved or not parquet.is_readable_as(column, asked):
            must = _told(run[name]) if name in run else asked
            raise SchemaError(
                f"{file.path}, column {name!r} is {_told(column)}, it must be {must}",
                fix="write it with the type that the models were trained on"
                if wanted
                else "read it as it is and convert it with the op `cast`",
            )


def _typed(name: str, column: SourceColumn | None, asked: ColumnType | None) -> SourceColumn:
    """The column as it will be read; one of only missing values is a float."""
    if column is not None and asked in (None, column.type):
        return column
    pattern = ISO if asked in ("date", "datetime") else None
    if column is not None and pattern and column.pattern:
        pattern = column.pattern
    return SourceColumn(name, asked or "float", pattern)


# -- key=value folders ------------------------------------------------------------------------


def _folders(
    files: list[File], types: Mapping[str, ColumnType], taken: set[str]
) -> list[SourceColumn]:
    keys = [tuple(k for k, _ in file.partitions) for file in files]
    for file, its in zip(files, keys, strict=True):
        if its != keys[0]:
            raise SchemaError(
                f"{file.path} lies in folders {list(its)}, {files[0].path} in {list(keys[0])}",
                fix="all files of a source need the same key=value folders",
            )
        if double := taken.intersection(its):
            raise SchemaError(
                f"{file.path}: {sorted(double)[0]!r} is a folder's key and a column of the file",
                fix="rename one of them",
            )
    return [_folder(key, {dict(f.partitions)[key] for f in files}, types) for key in keys[0]]


def _folder(key: str, words: set[str], types: Mapping[str, ColumnType]) -> SourceColumn:
    known = sorted(words - {DEFAULT_PARTITION})
    whole = all(
        type_inference.INTEGER.fullmatch(w) and not type_inference.CODE.match(w) for w in known
    )
    kind = types.get(key) or ("integer" if known and whole else "text")
    column = SourceColumn(key, kind, ISO if kind in ("date", "datetime") else None, partition=True)
    if bad := find_misfits(column, known, WORDS):
        raise SchemaError(
            f"the folder {key}={known[bad[0]]} is not {column.describe_rule()}",
            fix=f"types: {{{key}: text}} reads the folders' names as text",
        )
    return column
