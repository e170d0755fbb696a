"""Endings of file names, and the formats and compressions that they stand for."""

from __future__ import annotations

import os

from pipeline.config.urls import is_url, parse_url

CSV_ENDINGS = (".csv", ".tsv", ".tab", ".psv", ".txt")
PARQUET_ENDINGS = (".parquet", ".pq", ".parq")
COMPRESSION = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2",
               ".xz": "xz"}  # fmt: skip
CONVERTED_ENDINGS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".jsonlines": "jsonl", ".feather": "arrow",
    ".arrow": "arrow", ".arrows": "arrow", ".ipc": "arrow",
    ".xlsx": "excel", ".xlsm": "excel", ".xlsb": "excel", ".xls": "excel", ".ods": "excel",
}  # fmt: skip
CONVERTED = frozenset(CONVERTED_ENDINGS.values())
"""Formats of which a copy in CSV or Parquet is read."""
PACKED = (".zip", ".7z", ".lz4")
OTHERS = (".json", ".orc", ".avro", ".dta",
          ".sas7bdat", ".sav", ".pkl", ".pickle", ".h5", ".db", ".sqlite")  # fmt: skip
"""Endings of other formats that users often try."""


def guess_format(path: str) -> str:
    """Return ``csv``, ``parquet``, a format of `CONVERTED`, or an empty text for another ending."""
    ending = get_ending(path)
    if ending in CSV_ENDINGS:
        return "csv"
    return "parquet" if ending in PARQUET_ENDINGS else CONVERTED_ENDINGS.get(ending, "")


def guess_compression(path: str) -> str | None:
    """Return ``gzip``, ``zstd``, ``bz2``, ``xz`` or None."""
    return COMPRESSION.get(os.path.splitext(_lower_path(path))[1])


def get_ending(path: str) -> str:
    """Return a path's ending in lower case, the one before that of a compression."""
    stem, last = os.path.splitext(_lower_path(path))
    return os.path.splitext(stem)[1] if last in COMPRESSION else last


def _lower_path(path: str) -> str:
    """Return the path in lower case, without the query of an HTTP URL."""
    is_http = is_url(path) and parse_url(path).is_http
    return (path.partition("?")[0] if is_http else path).lower()
