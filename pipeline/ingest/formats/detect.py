"""Detection of the format that the files of a source share."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config.model import Source
from pipeline.errors import SchemaError
from pipeline.ingest.sources import endings
from pipeline.ingest.sources.files import File
from pipeline.ingest.sources.filesystems import open_file

MAGIC = {b"PAR1": "parquet", b"ARRO": "arrow"}
"""Formats by the first bytes of a file."""


def detect_format(files: Sequence[File], source: Source) -> str:
    """Detect the format that all files share.

    Raises:
        SchemaError: formats are mixed, or a file has an unknown one.
    """
    if source.format != "auto":
        return source.format
    by_format: dict[str, str] = {}
    for file in files:
        kind = file.format
        if not kind:
            with open_file(file.path, source.storage_options) as stream:
                kind = MAGIC.get(stream.read(6)[:4], "")
        by_format.setdefault(kind, file.path)
    if (unknown := by_format.get("")) is not None:
        if endings.get_ending(unknown) in endings.PACKED:
            raise SchemaError(
                f"{unknown} is compressed in a way that is not read",
                fix="unpack it, or compress it with gzip, zstd, bzip2 or xz",
            )
        if endings.get_ending(unknown) in endings.OTHERS:
            method = "to_parquet('new.parquet')"
            if endings.get_ending(unknown) == ".json":
                method = "to_json('new.jsonl', orient='records', lines=True)"
            raise SchemaError(
                f"{unknown} is of a format that is not read",
                fix=f"write it as {'JSON Lines' if 'json' in method else 'Parquet'}; in pandas: "
                f"frame.{method}",
            )
        raise SchemaError(
            f"{unknown}: the ending does not show the format",
            fix="set format: csv or format: parquet beside path (or --set data.format=csv)",
        )
    if len(by_format) > 1:
        raise SchemaError(
            "files of several formats are mixed",
            examples=[f"{path} is {kind}" for kind, path in by_format.items()],
            fix="name files of one kind, or set format to one of theirs",
        )
    return next(iter(by_format))
