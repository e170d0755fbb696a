"""The contract: what the files of a source hold, settled once and checked for every file."""

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
from pipeline.ingest.sources.files import DEFAULT_PARTITION, File
from pipeline.schema import RESERVED, Column, Schema

NEW_DATA = "new data"
"""`Contract.where` of what a finished run scores: no config says how to read it."""


@dataclass(frozen=True)
class Contract:
    """Files, their columns and types, and how they are written."""

    format: Literal["csv", "parquet"]
    columns: tuple[SourceColumn, ...]
    files: tuple[File, ...]
    dialect: Dialect | None = None
    """Of CSV."""
    rows: int | None = None
    """All rows, where the files tell (Parquet)."""
    row_bytes: float | None = None
    """Bytes of an average record as stored, uncompressed; from the sample of a CSV."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Columns that cannot be read and why (lists, binary data, …)."""
    extra: tuple[str, ...] = ()
    """Columns of new data that the run does not know; they are not read."""
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    """As in the config; secrets are still ``${NAME}``."""
    where: str = "data"
    """The source's key in the config, for messages."""

    @property
    def schema(self) -> Schema:
        """The columns in storage dtypes."""
        columns = tuple(Column(c.name, c.dtype) for c in self.columns)
        return Schema(columns, unreadable=self.unreadable)

    @property
    def csv_dialect(self) -> Dialect:
        """The dialect of a contract over CSV."""
        if self.dialect is None:
            raise AssertionError("a contract over Parquet has no dialect")
        return self.dialect

    def select(self, names: Iterable[str]) -> list[SourceColumn]:
        """These columns, in the contract's order.

        Raises:
            SchemaError: there is no such column, it cannot be read, or its name is the runner's.
        """
        wanted = dict.fromkeys(names)
        known = {c.name for c in self.columns}
        for name in wanted:
            if name in self.unreadable:
                raise SchemaError(f"column {name!r} cannot be read: {self.unreadable[name]}")
            if name not in known:
                raise SchemaError(f"there is no column {name!r}", fix=suggest_or_list(name, known))
            if name in RESERVED:
                raise SchemaError(
                    f"column {name!r}: the name is reserved for the runner",
                    fix="rename it in the files, or leave it out",
                )
        return [c for c in self.columns if c.name in wanted]

    def folder_values(self, file: int) -> dict[str, str | None]:
        """What a file's ``key=value`` folders say; None where Hive says that there is no value."""
        words = dict(self.files[file].partitions)
        return {key: None if word == DEFAULT_PARTITION else word for key, word in words.items()}

    def write(self, path: Path) -> None:
        """``schema.json``."""
        write_json(path, self.to_json())

    @staticmethod
    def read(path: Path) -> Contract:
        """Return the contract in a ``schema.json``.

        Raises:
            InputError: it is not one; names the file and the place in it.
        """
        return Contract.from_json(read_json(path), path)

    def to_json(self) -> dict[str, Any]:
        """For ``schema.json``."""
        data = asdict(self)
        data["schema"] = self.schema.to_json()
        return data

    @staticmethod
    def from_json(data: Any, path: Path | str = "schema.json") -> Contract:
        """Invert `to_json`.

        Raises:
            InputError: the data are not what it gives; ``path`` is the file in the message.
        """
        found = check_stored(contract_adapter(), data, path)
        dialect = None if found.dialect is None else Dialect.from_stored(found.dialect)
        columns = [SourceColumn(c.name, c.type, c.pattern, c.partition) for c in found.columns]
        for number, column in enumerate(columns):
            if not is_valid_pattern(column.type, column.pattern):
                rule = f"is not one of a column of type {column.type}"
                raise misfit_error(path, f"columns.{number}.pattern", rule)
        here = [(c.name, c.dtype) for c in columns]
        if here != [(c.name, c.dtype) for c in found.schema_.columns]:
            raise misfit_error(path, "schema.columns", "must be those of columns")
        return Contract(
            found.format, tuple(columns),
            tuple(
                File(f.path, f.size, f.fingerprint, tuple((k, v) for k, v in f.partitions))
                for f in found.files
            ),
            dialect, found.rows, found.row_bytes, found.unreadable, tuple(found.extra),
            found.storage_options, found.where,
        )  # fmt: skip
