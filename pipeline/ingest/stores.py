"""URLs: the fsspec file systems behind them, and opening any file, local or not."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.config.loader import from_environment, redacted
from pipeline.errors import InputError, MachineError, PipelineError

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"} | dict.fromkeys(
    ("az", "abfs", "abfss", "adl"), "azure"
)


STORES = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure", "adlfs", "requests")
"""Top modules whose errors are not `OSError`, but tell of the store."""


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
        fix = "use a path or s3://, gs://, abfs://"
        raise InputError(f"{path}: {redacted(str(error))}", fix=fix) from None
    except TypeError as error:
        raise InputError(f"{path}: {redacted(str(error))}", fix="check storage_options") from None


def reason(error: Exception) -> str:
    """What the system said, in its own words."""
    return redacted(str(getattr(error, "strerror", None) or error)).lower()


CREDENTIALS = (
    "check its permissions, and the credentials: the environment (AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, …), or storage_options ({anon: true} for a public bucket)"
)


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turns what a disk or a store says into our errors."""
    try:
        yield
    except PipelineError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} is not there any more", fix="start again") from None
    except PermissionError as error:
        raise InputError(
            f"{path} cannot be read: {reason(error) or 'permission denied'}", fix=CREDENTIALS
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from None
    except Exception as error:
        if not any(kind.__module__.split(".")[0] in STORES for kind in type(error).__mro__):
            raise
        if "credentials" in type(error).__name__.lower():
            told = redacted(str(error))
            raise InputError(f"{path} cannot be read: {told}", fix=CREDENTIALS) from None
        raise MachineError(
            f"{path} cannot be reached: {redacted(str(error))}",
            fix="check the network, and the endpoint (AWS_ENDPOINT_URL, or storage_options: "
            "{endpoint_url: …})",
        ) from None


def check_bucket(fs: Any, path: str) -> None:
    """Checks that the bucket of a URL is there.

    Raises:
        InputError: it is not, or is not to be seen.
    """
    protocol, _, rest = path.partition("://")
    bucket = rest.split("/", maxsplit=1)[0]
    if protocol.lower() in EXTRAS and not fs.exists(bucket):
        raise InputError(
            f"{path}: there is no bucket {bucket!r}",
            fix="check its name, the endpoint, and whether the credentials may see it",
        )


@contextmanager
def sent(path: str, options: Mapping[str, Any]) -> Iterator[Path]:
    """A local file to write to, which is sent to the URL if the block succeeds.

    Raises:
        InputError: there is no such bucket, or it may not be written to.
    """
    fs = filesystem(path, options)
    with explained(path):
        check_bucket(fs, path)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / path.rpartition("/")[2]
        yield local
        with explained(path):
            fs.put_file(str(local), path)


def reached(path: str, options: Mapping[str, Any]) -> None:
    """Asks a store for one file's size.

    Raises:
        InputError, MachineError: why the file cannot be read from here.
    """
    fs = filesystem(path, options)
    with explained(path):
        fs.info(path)


@contextmanager
def opened(path: str, options: Mapping[str, Any]) -> Iterator[Any]:
    """The file's bytes as stored, a binary stream that can seek.

    Raises:
        InputError: it vanished or cannot be read.
    """
    fs = filesystem(path, options) if is_remote(path) else None
    with explained(path), fs.open(path, "rb") if fs else open(path, "rb") as stream:
        yield stream
