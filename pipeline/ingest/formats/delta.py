"""Delta Lake: the Parquet files of a table's current version, and columns that only the log has."""

from __future__ import annotations

import datetime
import os
import posixpath
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pipeline.config.model import ColumnType, Source
from pipeline.config.urls import is_url, parse_url
from pipeline.errors import MachineError, SchemaError, shorten
from pipeline.ingest.reading_note import ReadingNote
from pipeline.ingest.sources.files import DEFAULT_PARTITION, DELTA_LOG, File, describe_local_file
from pipeline.ingest.sources.filesystems import open_filesystem, translate_errors

TYPES: Mapping[str, ColumnType] = {
    "string": "text", "long": "integer", "integer": "integer", "short": "integer",
    "byte": "integer", "float": "float", "double": "float", "decimal": "decimal",
    "boolean": "bool", "date": "date", "timestamp": "datetime", "timestamp_ntz": "datetime",
}  # fmt: skip
"""Types by those of Delta; columns of other types are not read."""
FEATURES = frozenset(
    {"timestampNtz", "deletionVectors", "columnMapping", "v2Checkpoint", "vacuumProtocolCheck",
     "typeWidening", "typeWidening-preview"}
)  # fmt: skip
"""Features of a table that do not change how its files are read, or that are checked one by one."""


@dataclass(frozen=True)
class DeltaTables:
    """The files of one or several tables."""

    files: tuple[File, ...]
    types: Mapping[str, ColumnType]
    """Types of the partition columns, whose values are only in the log."""
    notes: tuple[ReadingNote, ...]


def is_table(path: str, source: Source) -> bool:
    """Return whether a path is the folder of a Delta table."""
    if not is_url(path):
        return os.path.isdir(os.path.join(os.path.expanduser(path), DELTA_LOG))
    # Only a folder can be a table, and a further request per file would be slow.
    if parse_url(path).is_http or posixpath.splitext(path)[1] or "*" in path:
        return False
    fs = open_filesystem(path, source.storage_options)
    with translate_errors(path):
        return bool(fs.isdir(f"{fs._strip_protocol(path).rstrip('/')}/{DELTA_LOG}"))


def find_files(source: Source) -> DeltaTables:
    """Find the files of the tables' current versions, by path within each table.

    Raises:
        SchemaError: a log is damaged, or the table has features that its files alone do not show.
        MachineError: deltalake is not installed.
    """
    files: list[File] = []
    types: dict[str, ColumnType] = {}
    notes = []
    for path in source.path:
        root = path if is_url(path) else os.path.expanduser(path)
        with _open_table(root, source.storage_options) as table:
            _check_features(table, path)
            fields = _list_types(table)
            keys = table.metadata().partition_columns
            columns = tuple(name for name in fields if name not in keys)
            files += _list_files(table, root, keys, columns)
        types |= {name: fields[name] for name in keys if name in fields}
        message = f"{shorten(path)} is read as a Delta table of version {table.version()}"
        notes.append(ReadingNote("format", message))
    if not files:
        raise SchemaError(f"{source.path[0]} is a Delta table without files", fix="name others")
    return DeltaTables(tuple(files), types, tuple(notes))


@contextmanager
def _open_table(path: str, options: Mapping[str, object]) -> Iterator[Any]:
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError
    except ImportError:
        raise MachineError(
            f"{path}: the library for Delta Lake is not installed",
            fix='install it: pip install "pipeline[delta]"',
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        if is_url(path):
            _copy_log(path, options, Path(folder))
        try:
            yield DeltaTable(folder if is_url(path) else path)
        except DeltaError as error:
            raise SchemaError(
                f"{path} is not a readable Delta table: {str(error).splitlines()[0]}",
                fix="check its folder _delta_log, or write the table as Parquet",
            ) from None


def _copy_log(path: str, options: Mapping[str, object], folder: Path) -> None:
    """Copy the log of a table in an object store, which our own library has the credentials for."""
    fs = open_filesystem(path, options)
    with translate_errors(path):
        fs.invalidate_cache()
        root = fs._strip_protocol(path).rstrip("/")
        for name in fs.find(f"{root}/{DELTA_LOG}"):
            local = folder / name[len(root) + 1 :]
            local.parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(name, str(local))


def _check_features(table: Any, path: str) -> None:
    """Refuse tables whose rows or names are not those in the files.

    Raises:
        SchemaError: there are deletion vectors, mapped columns, or features that are not known.
    """
    rewrite = "write the table once more without it, or as Parquet"
    configuration, protocol = table.metadata().configuration, table.protocol()
    if configuration.get("delta.columnMapping.mode", "none") != "none":
        raise SchemaError(
            f"{path} maps the names of its columns (delta.columnMapping.mode), which is not read",
            fix=rewrite,
        )
    features = set(protocol.reader_features or ())
    if unknown := sorted(features - FEATURES):
        raise SchemaError(f"{path} has the feature {unknown[0]}, which is not read", fix=rewrite)
    if "deletionVectors" in features and _has_deletion_vectors(table):
        raise SchemaError(
            f"{path} has deletion vectors: rows that are deleted but still in its files",
            fix="remove such rows from the files: REORG TABLE … APPLY (PURGE) in Spark",
        )


def _has_deletion_vectors(table: Any) -> bool:
    import pyarrow as pa

    try:
        reader = pa.RecordBatchReader.from_stream(table.deletion_vectors())
        return any(batch.num_rows for batch in reader)
    except (
        Exception
    ):  # the library has several kinds of errors; a vector that it cannot read is one
        return True


def _list_types(table: Any) -> dict[str, ColumnType]:
    """Return the columns of types that are read."""
    names = ((f.name, str(getattr(f.type, "type", ""))) for f in table.schema().fields)
    types = ((name, TYPES.get(kind.partition("(")[0])) for name, kind in names)
    return {name: kind for name, kind in types if kind is not None}


def _list_files(table: Any, root: str, keys: list[str], columns: tuple[str, ...]) -> list[File]:
    import pyarrow as pa

    actions = pa.table(table.get_add_actions()).select(
        ["path", "size_bytes", "modification_time", *(["partition"] if keys else [])]
    )
    files = []
    for action in sorted(actions.to_pylist(), key=lambda action: str(action["path"])):
        relative = unquote(action["path"])
        if is_url(relative) or relative.startswith("/"):
            raise SchemaError(
                f"{root} is a shallow clone: its files are those of another table",
                fix="name the other table, or write this one anew",
            )
        values = tuple((key, _to_text(action["partition"][key])) for key in keys)
        if is_url(root):
            fingerprint = f"{action['size_bytes']}-{action['modification_time']}"
            file = File(f"{root.rstrip('/')}/{relative}", action["size_bytes"], fingerprint)
        else:
            file = describe_local_file(os.path.join(root, relative))
        files.append(File(file.path, file.size, file.fingerprint, values, table_columns=columns))
    return files


def _to_text(value: Any) -> str:
    """Return a partition value as the name of a folder would have it."""
    if value is None:
        return DEFAULT_PARTITION
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        utc = value if value.tzinfo is None else value.astimezone(datetime.UTC)
        return utc.replace(tzinfo=None).isoformat(" ")
    return str(value)
