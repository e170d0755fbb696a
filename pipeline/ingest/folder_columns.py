"""Columns that the ``key=value`` folders of the files add to those in the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.errors import SchemaError
from pipeline.ingest.csv import type_inference
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.types import SourceColumn, find_misfits, make_asked_column
from pipeline.ingest.sources.files import DEFAULT_PARTITION, File

# Folder names are parsed like fields of a CSV that has no words of its own for missing or bool.
FOLDER_DIALECT = Dialect(",", None, False, (), False, ("",), ("true",), ("false",))


def infer_folders(
    files: list[File], types: Mapping[str, str], taken: set[str]
) -> list[SourceColumn]:
    """Infer the columns that ``key=value`` folders add to those of the files (``taken``)."""
    keys = [tuple(k for k, _ in file.partitions) for file in files]
    for file, own_keys in zip(files, keys, strict=True):
        if own_keys != keys[0]:
            raise SchemaError(
                f"{file.path} lies in folders {list(own_keys)}, {files[0].path} in {list(keys[0])}",
                fix="put all files of a source below the same key=value folders",
            )
        if double := taken.intersection(own_keys):
            raise SchemaError(
                f"{file.path}: {sorted(double)[0]!r} is a folder's key and a column of the file",
                fix="rename one of them",
            )
    columns = []
    for key in keys[0]:
        values = sorted({dict(file.partitions)[key] for file in files} - {DEFAULT_PARTITION})
        integer, code = type_inference.INTEGER, type_inference.CODE
        whole = all(integer.fullmatch(v) and not code.match(v) for v in values)
        kind = types.get(key) or ("integer" if values and whole else "text")
        column = replace(make_asked_column(key, kind), partition=True)
        if bad := find_misfits(column, values, FOLDER_DIALECT):
            raise SchemaError(
                f"the folder {key}={values[bad[0]]} is not {column.describe_rule()}",
                fix=f"set types: {{{key}: text}} to read the folders' names as text",
            )
        columns.append(column)
    return columns
