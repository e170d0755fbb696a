"""Required content of ``ingest/schema.json``, which `pipeline.ingest.contract` reads and writes."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from pipeline.artifacts.manifest_model import Name
from pipeline.config.model import ColumnType
from pipeline.config.stored import Count, Plain, Positive, StoredObject
from pipeline.errors import ConfigError
from pipeline.ingest.reading_note import NoteKind
from pipeline.ingest.sources.encodings import UTF8, check_encoding
from pipeline.schema import StoredSchema


class StoredSourceColumn(StoredObject):
    """A `SourceColumn` in ``schema.json``."""

    name: str
    type: ColumnType
    pattern: str | None
    partition: bool
    keeps_words: bool = False
    """False in runs of versions that had no such columns."""
    is_flag: bool = False
    """False in runs of versions that did not record it."""


def _check_encoding(name: str) -> str:
    try:
        return check_encoding(name)
    except ConfigError as error:
        raise ValueError(str(error)) from None


class StoredFile(StoredObject):
    """A `File` in ``schema.json``."""

    path: Name
    size: Count
    fingerprint: str
    partitions: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    encoding: Annotated[str, AfterValidator(_check_encoding)] = UTF8
    """Absent in runs of versions that read UTF-8 only."""


class StoredNote(StoredObject):
    """A `ReadingNote` in ``schema.json``."""

    kind: NoteKind
    message: str
    column: str | None
    change: str | None


Character = Annotated[str, Field(min_length=1, max_length=1)]


class StoredDialect(StoredObject):
    """A `Dialect` in ``schema.json``."""

    delimiter: Character
    quote: Character | None
    header: bool
    names: list[str]
    newlines_in_values: bool
    missing: list[str]
    true: list[str]
    false: list[str]
    inferred_missing: list[str] = []
    """Empty in runs of versions that inferred no words."""
    skip: Count | None = None
    comment: Character | None = None
    strip_blanks: bool = False
    """Absent in runs of versions in which every file began with its header, as the two before."""


class StoredContract(StoredObject):
    """A `Contract` in ``schema.json``."""

    format: Literal["csv", "parquet"]
    columns: list[StoredSourceColumn]
    files: list[StoredFile]
    dialect: StoredDialect | None
    rows: Count | None
    row_bytes: Positive | None
    unreadable: dict[str, str]
    extra: list[str]
    storage_options: dict[str, Plain]
    notes: list[StoredNote] = []
    """Empty in runs of versions that took no notes."""
    where: str
    schema_: Annotated[StoredSchema, Field(alias="schema")]

    @model_validator(mode="after")
    def _check_dialect(self) -> StoredContract:
        if (self.format == "csv") != (self.dialect is not None):
            raise ValueError("dialect must be present for CSV, and null for Parquet")
        return self


@cache
def contract_adapter() -> TypeAdapter[StoredContract]:
    """Return the adapter that validates a ``schema.json``."""
    return TypeAdapter(StoredContract)
