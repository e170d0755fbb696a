"""The contract: what the files of a source hold, settled once and checked for every file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.artifacts import read_json, write_json
from pipeline.columns import RESERVED, Column, Schema
from pipeline.errors import SchemaError, nearest
from pipeline.ingest.dialect import Dialect
from pipeline.ingest.files import DEFAULT_PARTITION, File
from pipeline.ingest.values import SourceColumn

NEW = "new data"
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

    def picked(self, names: Iterable[str]) -> list[SourceColumn]:
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
                raise SchemaError(f"there is no column {name!r}", fix=nearest(name, known))
            if name in RESERVED:
                raise SchemaError(
                    f"column {name!r}: the name is reserved for the runner",
                    fix="rename it in the files, or leave it out",
                )
        return [c for c in self.columns if c.name in wanted]

    def folder_words(self, file: int) -> dict[str, str | None]:
        """What a file's ``key=value`` folders say; None where Hive says that there is no value."""
        words = dict(self.files[file].partitions)
        return {key: None if word == DEFAULT_PARTITION else word for key, word in words.items()}

    def write(self, path: Path) -> None:
        """``schema.json``."""
        write_json(path, self.to_json())

    @staticmethod
    def read(path: Path) -> Contract:
        """The contract in a ``schema.json``."""
        return Contract.from_json(read_json(path))

    def to_json(self) -> dict[str, Any]:
        """For ``schema.json``."""
        data = asdict(self)
        data["schema"] = self.schema.to_json()
        return data

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Contract:
        """The inverse of `to_json`."""
        rest = {k: v for k, v in data.items() if k != "schema"}
        rest["columns"] = tuple(SourceColumn(**c) for c in data["columns"])
        rest["files"] = tuple(
            File(f["path"], f["size"], f["fingerprint"], tuple(map(tuple, f["partitions"])))
            for f in data["files"]
        )
        rest["dialect"] = Dialect.from_json(data["dialect"]) if data["dialect"] else None
        rest["extra"] = tuple(data["extra"])
        return Contract(**rest)
