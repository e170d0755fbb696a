"""Formats and compressions by the endings of names."""

from __future__ import annotations

import pytest

from pipeline.ingest.sources.endings import get_ending, guess_compression, guess_format


@pytest.mark.parametrize(
    ("path", "format", "compression", "ending"),
    [
        ("a.csv", "csv", None, ".csv"),
        ("A.TSV.GZ", "csv", "gzip", ".tsv"),
        ("x/a.parquet", "parquet", None, ".parquet"),
        ("a.csv.zst", "csv", "zstd", ".csv"),
        ("a.csv.bz2", "csv", "bz2", ".csv"),
        ("a.csv.xz", "csv", "xz", ".csv"),
        ("https://host/A.csv", "csv", None, ".csv"),
        ("data", "", None, ""),
        ("a.orc", "", None, ".orc"),
        ("a.ndjson.gz", "jsonl", "gzip", ".ndjson"),
        ("a.feather", "arrow", None, ".feather"),
    ],
)
def test_ending_decides(path: str, format: str, compression: str | None, ending: str) -> None:
    assert (guess_format(path), guess_compression(path)) == (format, compression)
    assert get_ending(path) == ending
