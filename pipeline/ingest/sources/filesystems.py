"""URLs: the fsspec file systems behind them, and opening any file, local or not."""

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
"""Top-level modules whose errors say what a store, or the network before it, did."""


def open_filesystem(path: str, options: Mapping[str, Any]) -> Any:
    """Open the fsspec file system of a URL.

    The class is looked up by the protocol that was checked; fsspec never parses the URL for another
    one, as its ``open`` and ``url_to_fs`` would.

    Raises:
        InputError: the URL or an option may not be used.
        MachineError: the library is not installed; the message names the extra.
    """
    import fsspec

    try:
        url = parse_url(path)
        check_options(url, options)
    except ValueError as error:
        raise InputError(str(error), fix="see docs/data.md, section URLs") from None
    try:
        kind = fsspec.get_filesystem_class(url.protocol)
        own = {} if url.is_http else kind._get_kwargs_from_urls(path)
        return kind(**{**own, **expand_environment(dict(options))})
    except ImportError as error:
        extra = EXTRAS.get(url.protocol)
        fix = f'pip install "pipeline[{extra}]"' if extra else str(error)
        raise MachineError(
            f"{path}: no library for {url.protocol}:// is installed", fix=fix
        ) from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {redact(str(error))}", fix="check storage_options") from None


def describe_os_error(error: Exception) -> str:
    """What the system said, in its own words."""
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
    """Turns what a disk or a store says into our errors."""
    try:
        yield
    except PipelineError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} is not there any more", fix="start again") from None
    except PermissionError as error:
        raise InputError(
            f"{path} cannot be read: {describe_os_error(error) or 'permission denied'}",
            fix=CREDENTIALS,
        ) from None
    except Exception as error:
        if (found := _translate_http_status(path, error)) is not None:
            raise found from None
        # aiohttp's errors of a connection are OSErrors too, but the file is not at fault
        is_store = any(
            kind.__module__.partition(".")[0] in STORE_MODULES for kind in type(error).__mro__
        )
        if isinstance(error, OSError) and not is_store:
            raise InputError(f"{path} cannot be read: {describe_os_error(error)}") from None
        if not is_store:
            raise
        if "credentials" in type(error).__name__.lower():
            told = redact(str(error))
            raise InputError(f"{path} cannot be read: {told}", fix=CREDENTIALS) from None
        if type(error).__name__ == "ParamValidationError":  # botocore's, before anything is sent
            raise InputError(
                f"{path} cannot be read: {redact(str(error))}", fix="check the URL"
            ) from None
        raise MachineError(
            f"{path} cannot be reached: {redact(str(error))}",
            fix="check the network, and the endpoint (AWS_ENDPOINT_URL, or storage_options: "
            "{endpoint_url: …})",
        ) from None


def _translate_http_status(path: str, error: Exception) -> PipelineError | None:
    """What an HTTP server's status means; None for any other error."""
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
def upload_on_success(path: str, options: Mapping[str, Any]) -> Iterator[Path]:
    """A local file to write to, which is sent to the URL if the block succeeds.

    Raises:
        InputError: it is no object store, there is no such bucket, or it may not be written to.
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


def check_reachable(path: str, options: Mapping[str, Any]) -> None:
    """Asks a store for one file's size.

    Raises:
        InputError, MachineError: why the file cannot be read from here.
    """
    fs = open_filesystem(path, options)
    with translate_errors(path):
        if parse_url(path).is_http:
            http_files.describe_file(fs, expand_url(path), path)
        else:
            fs.info(path)


@contextmanager
def open_file(path: str, options: Mapping[str, Any]) -> Iterator[Any]:
    """The file's bytes as stored, a binary stream that can seek.

    Raises:
        InputError: it vanished or cannot be read.
    """
    with translate_errors(path), _open(path, options) as stream:
        yield stream


def _open(path: str, options: Mapping[str, Any]) -> Any:
    if not is_url(path):
        return open(path, "rb")  # noqa: SIM115 (`open_file` closes it)
    fs = open_filesystem(path, options)
    if parse_url(path).is_http:
        return http_files.open_http_file(fs, expand_url(path), path)
    return fs.open(path, "rb")
