"""The contract: files of a source, their columns and types, checked before any row is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.artifacts.files import read_json, write_json
from pipeline.config.stored import check_stored, misfit_error
from pipeline.errors import SchemaError, suggest_or_list
from pipeline.ingest.contract_file import contract_adapter
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.types import SourceColumn, is_valid_pattern
from pipeline.ingest.reading_note import ReadingNote
from pipeline.ingest.sources.files import DEFAULT_PARTITION, File
from pipeline.schema import RESERVED, Column, Schema


@dataclass(frozen=True)
class Contract:
    """Files of a source, their columns and types, and their format."""

    format: Literal["csv", "parquet"]
    columns: tuple[SourceColumn, ...]
    files: tuple[File, ...]
    dialect: Dialect | None = None
    """Dialect of CSV; None for Parquet, unless a run reads it: words in text of numbers."""
    rows: int | None = None
    """Number of all rows, which the footers of Parquet give."""
    row_bytes: float | None = None
    """Bytes of an average record, uncompressed, in the sample of a CSV."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Columns that cannot be read (lists, binary data, …), with the reason."""
    extra: tuple[str, ...] = ()
    """Columns of new data that the run lacks; they are not read."""
    storage_options: Mapping[str, object] = field(default_factory=dict)
    """Options as in the config: secrets are still ``${NAME}``."""
    notes: tuple[ReadingNote, ...] = ()
    """Notes on rows and columns that reading skipped, replaced or decided on."""
    where: str = "data"
    """Key of the source in the config, for messages."""

    @property
    def schema(self) -> Schema:
        """Columns in storage dtypes."""
        columns = tuple(Column(c.name, c.dtype) for c in self.columns)
        return Schema(columns, unreadable=self.unreadable)

    @property
    def csv_dialect(self) -> Dialect:
        """Dialect of a contract over CSV."""
        if self.dialect is None:
            raise AssertionError("a contract over Parquet has no dialect")
        return self.dialect

    def select(self, names: Iterable[str]) -> list[SourceColumn]:
        """Return these columns, in the contract's order.

        Raises:
            SchemaError: there is no such column, it cannot be read, or its name is reserved.
        """
        wanted = dict.fromkeys(names)
        present = {c.name for c in self.columns}
        for name in wanted:
            if name in self.unreadable:
                raise SchemaError(f"column {name!r} cannot be read: {self.unreadable[name]}")
            if name not in present:
                raise SchemaError(
                    f"there is no column {name!r}", fix=suggest_or_list(name, present)
                )
            if name in RESERVED:
                raise SchemaError(
                    f"column {name!r}: the name is reserved for the runner",
                    fix="rename it in the files, or leave it out",
                )
        return [c for c in self.columns if c.name in wanted]

    def folder_values(self, file: int) -> dict[str, str | None]:
        """Return the values of a file's ``key=value`` folders; None where Hive marks it missing."""
        values = dict(self.files[file].partitions)
        return {k: None if value == DEFAULT_PARTITION else value for k, value in values.items()}

    def write(self, path: Path) -> None:
        """Write ``schema.json``."""
        write_json(path, self.to_json())

    @staticmethod
    def read(path: Path) -> Contract:
        """Return the contract in a ``schema.json``.

        Raises:
            InputError: the file is not one; the error names the file and the place in it.
        """
        return Contract.from_json(read_json(path), path)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``schema.json``."""
        data = asdict(self)
        data["schema"] = self.schema.to_json()
        for file in data["files"]:
            del file["converted"]  # the copy is gone when the run has ended
            del file["table_columns"], file["stored_names"]  # not those of a run's own data
        return data

    @staticmethod
    def from_json(data: object, path: Path | str = "schema.json") -> Contract:
        """Invert `to_json`.

        Raises:
            InputError: the data are not such a file; ``path`` is the file in the message.
        """
        stored = check_stored(contract_adapter(), data, path)
        columns = [
            SourceColumn(c.name, c.type, c.pattern, c.partition, c.keeps_words, c.is_flag)
            for c in stored.columns
        ]
        for number, column in enumerate(columns):
            if not is_valid_pattern(column.type, column.pattern):
                rule = f"is not a pattern of a column of type {column.type}"
                raise misfit_error(path, f"columns.{number}.pattern", rule)
        # The schema follows from the columns. It is stored for readers of the file.
        dtypes = [(c.name, c.dtype) for c in columns]
        if dtypes != [(c.name, c.dtype) for c in stored.schema_.columns]:
            raise misfit_error(path, "schema.columns", "must be those of columns")
        return Contract(
            stored.format,
            tuple(columns),
            tuple(
                File(
                    f.path,
                    f.size,
                    f.fingerprint,
                    tuple((k, v) for k, v in f.partitions),
                    f.encoding,
                )
                for f in stored.files
            ),
            None if stored.dialect is None else Dialect.from_stored(stored.dialect),
            stored.rows,
            stored.row_bytes,
            stored.unreadable,
            tuple(stored.extra),
            stored.storage_options,
            tuple(ReadingNote(n.kind, n.message, n.column, n.change) for n in stored.notes),
            stored.where,
        )
