"""The files of a source as the readers of CSV and Parquet need them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal

from pipeline.config.model import Source
from pipeline.errors import SchemaError
from pipeline.ingest.contract import Contract
from pipeline.ingest.formats import arrow_file, delta, excel, json_lines
from pipeline.ingest.formats.detect import detect_format
from pipeline.ingest.reading_note import NEW_DATA, ReadingNote, merge_notes
from pipeline.ingest.sources.converted import ConvertedFile
from pipeline.ingest.sources.endings import CONVERTED
from pipeline.ingest.sources.files import DELTA_LOG, File, check_unchanged, find_files

NAMES: Mapping[str, tuple[str, str]] = {
    "excel": ("Excel", "CSV"),
    "jsonl": ("JSON Lines", "Parquet"),
    "arrow": ("Arrow", "Parquet"),
}
"""Name of each format that is converted, and of the format of its copies."""
CONVERTERS: Mapping[str, Callable[[File, Mapping[str, object]], ConvertedFile]] = {
    "jsonl": json_lines.convert,
    "arrow": arrow_file.convert,
}
_lock = Lock()
_copies: dict[tuple[object, ...], ConvertedFile] = {}
"""Copies of this process, by everything that their content depends on."""


@dataclass(frozen=True)
class ReadableFiles:
    """Files of one format, which is CSV or Parquet, if need be through their copies."""

    format: Literal["csv", "parquet"]
    files: list[File]
    source: Source
    """The source as its files, or the copies, are to be read."""
    unreadable: Mapping[str, str]
    """Columns that copies lack because they cannot be read, with the reason."""
    notes: tuple[ReadingNote, ...]

    def add_to(self, contract: Contract) -> Contract:
        """Add what a contract over copies cannot know: the columns that they lack, and notes."""
        names = {c.name for c in contract.columns}
        lacking = {n: reason for n, reason in self.unreadable.items() if n not in names}
        return replace(
            contract,
            unreadable={**contract.unreadable, **lacking},
            notes=(*self.notes, *contract.notes),
        )


def find_source_files(source: Source) -> Sequence[File]:
    """Find the files of a source, which may be a Delta table."""
    return delta.find_files(source).files if _is_delta(source) else find_files(source)


def _is_delta(source: Source) -> bool:
    """Return whether the paths are Delta tables.

    Raises:
        SchemaError: only some of them are.
    """
    if source.format not in ("auto", "delta"):
        return False
    others = [path for path in source.path if not delta.is_table(path, source)]
    if others and (source.format == "delta" or len(others) < len(source.path)):
        raise SchemaError(
            f"{others[0]} is not a Delta table: it has no folder {DELTA_LOG}",
            fix="name Delta tables alone, or files alone",
        )
    return not others


def open_files(source: Source, where: str) -> ReadableFiles:
    """Find the files of a source, and convert them if they are neither CSV nor Parquet.

    A file is converted once in a process, as long as it does not change.

    Raises:
        SchemaError: the files have several formats, or an unknown one.
        DataError: a file cannot be converted.
        MachineError: the disk has no room for the copies, or a library is not installed.
    """
    if _is_delta(source):
        tables = delta.find_files(source)
        typed = source.model_copy(update={"types": {**tables.types, **source.types}})
        return ReadableFiles("parquet", list(tables.files), typed, {}, tables.notes)
    files = find_files(source)
    kind = detect_format(files, source)
    if kind not in CONVERTED:
        return ReadableFiles("csv" if kind == "csv" else "parquet", list(files), source, {}, ())
    place = "" if where == NEW_DATA else where
    copied = [replace(file, converted=_convert(file, kind, source, place)) for file in files]
    copies = [file.converted for file in copied if file.converted is not None]
    name, target = NAMES[kind]
    count = "" if len(copies) == 1 else f"{len(copies):,} files of "
    notes = [ReadingNote("format", f"{count}{name} converted to {target} for this run")]
    notes += merge_notes(*(copy.notes for copy in copies))
    unreadable = {n: reason for copy in copies for n, reason in copy.unreadable}
    if kind == "excel":
        syntax: dict[str, object] = {"delimiter": ",", "quote": '"', "encoding": None}
        syntax["newlines_in_values"] = any(copy.newlines_in_values for copy in copies)
        csv = source.csv.model_copy(update=syntax)
        source = source.model_copy(update={"csv": csv})
    return ReadableFiles(copies[0].format, copied, source, unreadable, tuple(notes))


def _convert(file: File, kind: str, source: Source, where: str) -> ConvertedFile:
    key: tuple[object, ...] = (kind, file.path, file.size, file.fingerprint)
    if kind == "excel":
        key = (*key, source.sheet, where)
    with _lock:
        if key not in _copies:
            check_unchanged(file)
            options = source.storage_options
            if kind == "excel":
                _copies[key] = excel.convert(file, options, source.sheet, where)
            else:
                _copies[key] = CONVERTERS[kind](file, options)
            check_unchanged(file)
        return _copies[key]
