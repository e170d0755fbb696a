"""Search for the files of a source, in the order that numbers their rows."""

from __future__ import annotations

import glob as local_glob
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from pipeline.config.loader import expand_url
from pipeline.config.model import Source
from pipeline.config.urls import Url, is_container, is_url, parse_url
from pipeline.errors import DataError, InputError, MachineError, SchemaError, check_utf8
from pipeline.ingest.sources import endings, http_files
from pipeline.ingest.sources.converted import ConvertedFile
from pipeline.ingest.sources.encodings import UTF8, is_wide
from pipeline.ingest.sources.filesystems import (
    check_bucket,
    describe_os_error,
    open_filesystem,
    translate_errors,
)

DELTA_LOG = "_delta_log"
DEFAULT_PARTITION = "__HIVE_DEFAULT_PARTITION__"  # Hive's and Spark's word for a missing key


@dataclass(frozen=True)
class File:
    """A file of a source, with the fingerprint by which a change is noticed."""

    path: str
    size: int
    """Bytes as stored, perhaps compressed."""
    fingerprint: str
    """``size-mtime_ns``, or the store's ETag."""
    partitions: tuple[tuple[str, str], ...] = ()
    """``key=value`` folders below the source's root, in order."""
    encoding: str = UTF8
    """Encoding of a CSV's text, by Python's name (`pipeline.ingest.sources.encodings`)."""
    converted: ConvertedFile | None = None
    """The copy that is read in the file's place; changes are noticed by the file itself."""
    table_columns: tuple[str, ...] = ()
    """Columns of the Delta table; those that a Parquet file lacks are missing in all its rows."""
    stored_names: tuple[tuple[str, str], ...] = ()
    """Names in a Parquet file of new data, by other names that the run has for them."""

    @property
    def format(self) -> str:
        """The format by the ending, or an empty text for an unknown one."""
        return endings.guess_format(self.path)

    @property
    def compression(self) -> str | None:
        """``gzip``, ``zstd``, ``bz2``, ``xz`` or None, by the ending."""
        return None if self.converted else endings.guess_compression(self.path)

    @property
    def read_path(self) -> str:
        """Path of the file, or of the copy that is read in its place."""
        return self.converted.path if self.converted else self.path

    @property
    def read_size(self) -> int:
        """Bytes of the file that is read."""
        return self.converted.size if self.converted else self.size

    @property
    def is_sequential(self) -> bool:
        """Return whether the content must be read from its beginning on, in one block."""
        return self.compression is not None or is_wide(self.encoding)


def find_files(source: Source) -> list[File]:
    """Find the files of a source: those of a folder or glob by path, a list's in its order.

    Folders are searched recursively. Names that begin with ``.`` or ``_`` are left out, and so are
    files of a folder or glob whose ending is of another format (``format: auto``).

    Raises:
        InputError: no such file exists, none has this format, or one cannot be read.
        SchemaError: a file is named twice.
        MachineError: the library for this kind of URL is not installed.
    """
    files = [file for path in source.path for file in _expand(path, source)]
    seen: set[str] = set()
    for file in files:
        check_utf8(file.path, "the file name")
        if file.path in seen:
            raise SchemaError(
                f"{file.path} is named twice by path: {list(source.path)}",
                fix="name every file once; its rows would count double",
            )
        seen.add(file.path)
    return files


def add_folder_keys(file: File, keys: Sequence[str]) -> File:
    """Return the file with these ``key=value`` folders, which may be anywhere above it."""
    place = file.path if is_url(file.path) else os.path.abspath(file.path)
    above = dict(_parse_folder_keys(place, ""))
    more = tuple((key, above[key]) for key in keys if key in above)
    return replace(file, partitions=(*file.partitions, *more))


def _expand(path: str, source: Source) -> list[File]:
    if not path:
        raise InputError("path is empty", fix="name a file, a folder, a glob or a URL")
    remote = is_url(path)
    listed, kind = _find_remote(path, source) if remote else _find_local(os.path.expanduser(path))
    if kind == "file":
        return listed
    root, wanted = _find_root(path), []
    for file in listed:
        below = file.path[len(root) :] if file.path.startswith(root) else file.path
        if f"/{DELTA_LOG}/" in below:
            table = file.path.partition(f"/{DELTA_LOG}/")[0]
            raise InputError(
                f"{table} is a Delta table, whose files are named by its log",
                fix=f"name the table itself: path: {table}",
            )
        # Spark and others leave such files beside the data: _SUCCESS, .part-0.crc
        hidden = any(part[:1] in (".", "_") for part in re.split(r"[/\\]", below) if part)
        if not hidden and (source.format != "auto" or file.format):
            wanted.append(file)
    if wanted:
        return sorted(wanted, key=lambda f: f.path)
    searched = path if remote else os.path.abspath(path)
    if kind == "glob":
        raise InputError(
            f"no file matches {path!r}", fix=f"check the pattern; {searched} was searched"
        )
    if listed:
        formats = "data" if source.format == "auto" else source.format
        raise InputError(
            f"the folder {path!r} has no {formats} file",
            examples=[f.path for f in listed],
            fix="set format: csv or format: parquet if the endings are unusual",
        )
    raise InputError(
        f"the folder {path!r} is empty", fix=f"check the path; {searched} was searched"
    )


def _find_root(path: str) -> str:
    """Return a folder's path, or the folders of a glob above its first wildcard."""
    if not local_glob.has_magic(path):
        return path
    parts = path.split("/")
    first = next(i for i, part in enumerate(parts) if local_glob.has_magic(part))
    return "/".join(parts[:first])


def _parse_folder_keys(path: str, root: str) -> tuple[tuple[str, str], ...]:
    """Return the ``key=value`` folders of a path, below the root if the path begins with it."""
    below = path[len(root) :] if path.startswith(root) else path
    folders = [part for part in re.split(r"[/\\]", below)[:-1] if "=" in part[1:]]
    return tuple((unquote(k), unquote(v)) for k, _, v in (f.partition("=") for f in folders))


# -- local ------------------------------------------------------------------------------------


def _find_local(path: str) -> tuple[list[File], str]:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if not local_glob.has_magic(path):
            raise _missing_error(path) from None
        matches = local_glob.glob(path, recursive=True)
        names = [
            n
            for match in matches
            for n in (_list_folder(match) if os.path.isdir(match) else [match])
        ]
        return [describe_local_file(n, _find_root(path)) for n in sorted(set(names))], "glob"
    except (OSError, ValueError) as error:
        raise InputError(f"{path!r} cannot be read: {describe_os_error(error)}") from None
    if stat.S_ISDIR(mode):
        return [describe_local_file(name, path) for name in _list_folder(path)], "folder"
    return [describe_local_file(path, path)], "file"


def _list_folder(folder: str) -> list[str]:
    walked = os.walk(folder, followlinks=True)
    return [os.path.join(at, name) for at, _, names in walked for name in names]


def describe_local_file(path: str, root: str | None = None) -> File:
    """Return a local file, with the ``key=value`` folders below a root."""
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            raise InputError(
                f"{path} is not a regular file", fix="write its content to a file first"
            )
        if not os.access(path, os.R_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {describe_os_error(error)}") from None
    keys = () if root in (None, path) else _parse_folder_keys(path, root)
    return File(path, info.st_size, f"{info.st_size}-{info.st_mtime_ns}", keys)


def _missing_error(path: str) -> InputError:
    from difflib import get_close_matches

    if os.path.islink(path):
        return InputError(
            f"{path!r} is a link to {os.readlink(path)!r}, which does not exist",
            fix="name the file itself, or repair the link",
        )
    folder, name = os.path.split(path)
    try:
        close = get_close_matches(name, os.listdir(folder or "."), n=1)
    except OSError:
        close = []
    # found by listing the folder, which may be unreadable
    hint = f"did you mean {os.path.join(folder, close[0])!r}? " if close else ""
    return InputError(
        f"there is no file or folder {path!r}",
        fix=f"{hint}paths are relative to {os.getcwd()}",
    )


# -- remote -----------------------------------------------------------------------------------


def _find_remote(path: str, source: Source) -> tuple[list[File], str]:
    fs, url = open_filesystem(path, source.storage_options), parse_url(path)
    if url.is_http:
        if "*" in path or path.endswith("/"):
            raise InputError(
                f"{path}: an HTTP server has no folders to search",
                fix="name each file: path: [https://host/a.csv, https://host/b.csv]",
            )
        with translate_errors(path):
            described = http_files.describe_file(fs, expand_url(path), path)
        return [File(path, described.size, described.fingerprint)], "file"
    with translate_errors(path):
        fs.invalidate_cache()  # an earlier listing of this process may be out of date
        bare = fs._strip_protocol(path)
        try:
            info = fs.info(bare)
        except FileNotFoundError:  # a glob, or nothing
            info = None
        if info is not None and info["type"] == "file":
            return [_remote_file(fs, url, info, ())], "file"
        if local_glob.has_magic(path):
            names = [n for m in fs.glob(bare) for n in (fs.find(m) if fs.isdir(m) else [m])]
            kind, root = "glob", fs._strip_protocol(_find_root(path))
        elif info is not None:
            names, kind, root = fs.find(bare), "folder", bare
        else:
            names, kind, root = [], "nothing", bare
        if not names:
            check_bucket(fs, path)
        if kind == "nothing":
            raise InputError(f"there is no {path!r}", fix="check the name and the permissions")
        # sorted: the order of the files numbers the rows
        infos = (fs.info(name) for name in sorted(set(names)))
        return [_remote_file(fs, url, i, _parse_folder_keys(i["name"], root)) for i in infos], kind


def _remote_file(
    fs: Any, url: Url, info: Mapping[str, Any], keys: tuple[tuple[str, str], ...]
) -> File:
    tag = next((info[k] for k in ("ETag", "etag", "md5Hash", "mtime", "created") if k in info), "")
    size = int(info.get("size") or 0)
    path = fs.unstrip_protocol(info["name"])
    if is_container(url.protocol, url.user):  # the URL names the account, the listing does not
        path = f"{url.protocol}://{url.user}@{url.host}/{info['name'].partition('/')[2]}"
    return File(path, size, str(tag or size).strip('"'), keys)


def check_unchanged(file: File) -> None:
    """Check that a local file has not changed since the contract was inferred.

    Raises:
        DataError: the file was written to, or removed.
        MachineError: its copy does not exist on this host.
    """
    if file.converted is not None and not os.path.exists(file.converted.path):
        raise MachineError(
            f"{file.path}: its copy {file.converted.path} does not exist on this host",
            fix="set TMPDIR to a folder on a disk that all hosts of the cluster share, or convert "
            "the file to Parquet",
        )
    if is_url(file.path):
        return
    try:
        info = os.stat(file.path)
    except OSError:
        raise DataError(f"{file.path} vanished while the run was reading it") from None
    if f"{info.st_size}-{info.st_mtime_ns}" != file.fingerprint:
        raise DataError(
            f"{file.path} changed while the run was reading it",
            fix="run again once nothing writes to it",
        )
