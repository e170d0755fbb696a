"""URLs: the fsspec file systems behind them, and opening any file, local or not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.config_tree import from_environment
from pipeline.errors import InputError, MachineError

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"} | dict.fromkeys(
    ("az", "abfs", "abfss", "adl"), "azure"
)


def is_remote(path: str) -> bool:
    """Whether fsspec must open it."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


def filesystem(path: str, options: Mapping[str, Any]) -> Any:
    """The fsspec file system of a URL.

    Raises:
        MachineError: its library is not installed; the message names the extra.
        InputError: fsspec knows no such protocol.
    """
    import fsspec

    protocol = path.split("://", 1)[0].lower()
    try:
        return fsspec.core.url_to_fs(path, **from_environment(dict(options)))[0]
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        fix = f'pip install "pipeline[{extra}]"' if extra else str(error)
        raise MachineError(f"{path}: no library for {protocol}:// is installed", fix=fix) from None
    except ValueError as error:
        raise InputError(f"{path}: {error}", fix="use a path or s3://, gs://, abfs://") from None


def reason(error: Exception) -> str:
    """What the system said, in its own words."""
    return str(getattr(error, "strerror", None) or error).lower()


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turns what a disk or a store says into our errors."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} is not there any more", fix="start again") from None
    except PermissionError as error:
        raise InputError(
            f"{path} cannot be read: {reason(error) or 'permission denied'}",
            fix="check its permissions, or the credentials (storage_options, environment)",
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error


@contextmanager
def opened(path: str, options: Mapping[str, Any]) -> Iterator[Any]:
    """The file's bytes as stored, a binary stream that can seek.

    Raises:
        InputError: it vanished or cannot be read.
    """
    fs = filesystem(path, options) if is_remote(path) else None
    with explained(path), fs.open(path, "rb") if fs else open(path, "rb") as stream:
        yield stream
