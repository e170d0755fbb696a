"""fsspec file systems behind URLs, opening of any file, and translation of storage errors."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.config.loader import expand_environment, expand_url, redact
from pipeline.config.storage_options import check_options
from pipeline.config.urls import EXTRAS, is_url, parse_url
from pipeline.errors import InputError, MachineError, PipelineError
from pipeline.ingest.sources import http_files

STORE_MODULES = (
    "botocore",
    "aiobotocore",
    "aiohttp",
    "gcsfs",
    "google",
    "azure",
    "adlfs",
    "requests",
)
"""Top-level modules whose errors come from an object store, or from the network before it."""


def open_filesystem(path: str, options: Mapping[str, object]) -> Any:
    """Open the fsspec file system of a URL.

    Raises:
        InputError: the URL or an option is not allowed.
        MachineError: the library is not installed; the message names the extra.
    """
    import fsspec

    try:
        url = parse_url(path)
        check_options(url, options)
    except ValueError as error:
        raise InputError(str(error), fix="see docs/data.md, section URLs") from None
    try:
        # The class comes from the protocol that was checked: fsspec's `open` and `url_to_fs` would
        # parse the URL themselves, and may find another protocol in it.
        kind = fsspec.get_filesystem_class(url.protocol)
        from_url = {} if url.is_http else kind._get_kwargs_from_urls(path)
        return kind(**{**from_url, **expand_environment(dict(options))})
    except ImportError as error:
        extra = EXTRAS.get(url.protocol)
        fix = f'install it: pip install "pipeline[{extra}]"' if extra else str(error)
        raise MachineError(
            f"{path}: no library for {url.protocol}:// is installed", fix=fix
        ) from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {redact(str(error))}", fix="check storage_options") from None


def describe_os_error(error: Exception) -> str:
    """Return the message of the system, without secrets."""
    return redact(str(getattr(error, "strerror", None) or error)).lower()


CREDENTIALS = (
    "check its permissions, and the credentials: the environment (AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, …), or storage_options ({anon: true} for a public bucket)"
)


HTTP_FIX = (
    "give credentials: https://${USER}:${PASSWORD}@host/…, or storage_options: {headers: "
    "{Authorization: 'Bearer ${TOKEN}'}}"
)


@contextmanager
def translate_errors(path: str) -> Iterator[None]:
    """Translate the errors of a disk or an object store into those of this package."""
    try:
        yield
    except PipelineError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} no longer exists", fix="run again, or name other files") from None
    except PermissionError as error:
        raise InputError(
            f"{path} cannot be read: {describe_os_error(error) or 'permission denied'}",
            fix=CREDENTIALS,
        ) from None
    except Exception as error:
        if (translated := _translate_http_status(path, error)) is not None:
            raise translated from None
        # aiohttp's connection errors are OSErrors too, but the file is not the cause.
        is_store = any(
            kind.__module__.partition(".")[0] in STORE_MODULES for kind in type(error).__mro__
        )
        if isinstance(error, OSError) and not is_store:
            raise InputError(f"{path} cannot be read: {describe_os_error(error)}") from None
        if not is_store:
            raise
        if "credentials" in type(error).__name__.lower():
            raise InputError(
                f"{path} cannot be read: {redact(str(error))}", fix=CREDENTIALS
            ) from None
        if type(error).__name__ == "ParamValidationError":  # botocore checks before it sends
            raise InputError(
                f"{path} cannot be read: {redact(str(error))}", fix="check the URL"
            ) from None
        raise MachineError(
            f"{path} cannot be reached: {redact(str(error))}",
            fix="check the network, and the endpoint (AWS_ENDPOINT_URL, or storage_options: "
            "{endpoint_url: …})",
        ) from None


def _translate_http_status(path: str, error: Exception) -> PipelineError | None:
    """Return the error for an HTTP status; None if ``error`` does not carry one."""
    status = getattr(error, "status", None)
    if not isinstance(status, int) or type(error).__module__.partition(".")[0] != "aiohttp":
        return None
    answer = f"HTTP {status} {redact(str(getattr(error, 'message', '')))}".strip()
    if status in (401, 403, 407):
        return InputError(f"{path} cannot be read: the server refuses it ({answer})", fix=HTTP_FIX)
    if status in (404, 410):
        return InputError(f"there is no {path!r} ({answer})", fix="check the URL")
    if 400 <= status < 500 and status not in (408, 429):
        return InputError(f"{path} cannot be read: {answer}", fix="check the URL")
    return MachineError(f"{path} cannot be read now: {answer}", fix="try again later")


def check_bucket(fs: Any, path: str) -> None:
    """Check that the bucket of a URL exists.

    Raises:
        InputError: it does not exist, or the credentials may not list it.
    """
    protocol, _, rest = path.partition("://")
    bucket = rest.split("/", maxsplit=1)[0]
    if protocol.lower() in EXTRAS and not fs.exists(bucket):
        raise InputError(
            f"{path}: there is no bucket {bucket!r}",
            fix="check its name, the endpoint, and whether the credentials may see it",
        )


@contextmanager
def upload_on_success(path: str, options: Mapping[str, object]) -> Iterator[Path]:
    """Yield a local file to write to, and upload it to the URL if the block succeeds.

    Raises:
        InputError: the URL is not of an object store, has no such bucket, or is not writable.
    """
    fs = open_filesystem(path, options)
    if not parse_url(path).is_writable:
        raise InputError(
            f"{path} cannot be written to", fix="name a local file, or s3://, gs://, abfs://"
        )
    with translate_errors(path):
        check_bucket(fs, path)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / path.rpartition("/")[2]
        yield local
        with translate_errors(path):
            fs.put_file(str(local), path)


def check_reachable(path: str, options: Mapping[str, object]) -> None:
    """Ask a store or server for the size of one file.

    Raises:
        InputError: the file cannot be read from here.
        MachineError: the store cannot be reached.
    """
    fs = open_filesystem(path, options)
    with translate_errors(path):
        if parse_url(path).is_http:
            http_files.describe_file(fs, expand_url(path), path)
        else:
            fs.info(path)


@contextmanager
def open_file(path: str, options: Mapping[str, object]) -> Iterator[Any]:
    """Open a file's bytes as stored, as a binary stream that can seek.

    Raises:
        InputError: the file does not exist or cannot be read.
    """
    with translate_errors(path):
        raw: Any
        if not is_url(path):
            raw = open(path, "rb")  # noqa: SIM115 (closed below)
        else:
            fs = open_filesystem(path, options)
            if parse_url(path).is_http:
                raw = http_files.open_http_file(fs, expand_url(path), path)
            else:
                raw = fs.open(path, "rb")
        with raw as stream:
            yield stream
