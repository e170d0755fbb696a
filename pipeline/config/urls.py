"""URLs that a config may name.

One parser serves the check of a config and the opening of a file, so that both see the same URL.
Local paths never reach fsspec: only a URL that `parse_url` accepts can choose a file system.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass

EXTRAS = {
    "s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure",
    "abfss": "azure", "http": "http", "https": "http",
}  # fmt: skip
"""Extra that installs the library, by protocol, for the protocols that every config may name."""
ALLOWABLE = frozenset({
    "arrow_hdfs", "box", "dbfs", "dropbox", "ftp", "gdrive", "hdfs", "hf", "lakefs", "memory",
    "oci", "oss", "root", "sftp", "smb", "ssh", "tos", "wandb", "webdav", "webhdfs",
})  # fmt: skip
"""Protocols that `ALLOWED` may add. Other protocols of fsspec are never used: they open a second
file system, keep caches, or unpickle a server's answer (zip, simplecache, reference, dask, ...)."""
ALLOWED = "PIPELINE_ALLOW_PROTOCOLS"
"""Environment variable that names further protocols. Worker processes inherit it."""

REFERENCE = r"\$\{\w+\}"
"""Pattern of a value from the environment: ``${NAME}``."""
# An ARN names an access point of S3.
HOST = r"[\w.-]*(:\d{1,5})?|\[[\da-fA-F:.]+\](:\d{1,5})?|arn:[\w:-]+"
USER = rf"({REFERENCE})(:{REFERENCE})?"
QUERY = rf"({REFERENCE}|[\w.-]+={REFERENCE})(&({REFERENCE}|[\w.-]+={REFERENCE}))*"
USER_FIX = "take them from the environment: https://${USER}:${PASSWORD}@host/…, or storage_options"
QUERY_FIX = "take it from the environment: https://host/path?token=${TOKEN}"


@dataclass(frozen=True)
class Url:
    """A URL with an allowed protocol and no literal secret."""

    protocol: str
    user: str
    """User-info before the ``@``, only as ``${NAME}``; for Azure the container."""
    host: str
    """Host and port, or the bucket."""
    path: str
    """Path from the first ``/``, without the query."""
    parameters: str
    """Query with values only as ``${NAME}``; empty for protocols without queries."""

    @property
    def is_http(self) -> bool:
        """Return whether the URL is one of an HTTP server."""
        return self.protocol in ("http", "https")

    @property
    def is_writable(self) -> bool:
        """Return whether predictions may be written there, as in object stores."""
        return self.protocol in EXTRAS and not self.is_http


def is_url(path: str) -> bool:
    """Return whether a path is a URL; ``a/b://c`` is a local path."""
    before, mark, _ = path.partition("://")
    return bool(mark) and "/" not in before


def parse_url(text: str) -> Url:
    """Parse and check a URL.

    Raises:
        ValueError: The protocol is not allowed, URLs are chained (``::``), or user-info or a query
            is literal. The message never repeats what may be a secret.
    """
    protocol, _, rest = text.partition("://")
    if "::" in protocol or re.search(r"::[A-Za-z][\w+-]*(://|$)", rest):
        raise ValueError(f"{protocol}://…: chained URLs (::) are not supported")
    check_protocol(protocol)
    is_http = protocol in ("http", "https")
    # In object stores ``?`` is a wildcard of globs, and ``#`` an ordinary character.
    place, fragment, _ = rest.partition("#") if is_http else (rest, "", "")
    place, _, query = place.partition("?") if is_http else (place, "", "")
    authority, slash, path = place.partition("/")
    user, at, host = authority.rpartition("@")
    if at and not is_container(protocol, user) and not (is_http and re.fullmatch(USER, user)):
        raise ValueError(f"{protocol}://… contains a user name or password: {USER_FIX}")
    if not re.fullmatch(HOST, host, re.ASCII):
        raise ValueError(f"{protocol}://… has no valid host, or a password before it: {USER_FIX}")
    if protocol in EXTRAS and not host:
        raise ValueError(f"{protocol}:// names no host or bucket: write {protocol}://NAME/path")
    if is_http:
        _check_address(protocol, host)
    if fragment or (query and not re.fullmatch(QUERY, query)):
        raise ValueError(f"{protocol}://… contains a query, which may be a secret: {QUERY_FIX}")
    return Url(protocol, user, host, slash + path, query)


def _check_address(protocol: str, host: str) -> None:
    """Check the port, an IPv6 address and the length of labels."""
    # The libraries check these only when they connect, and then with other messages.
    name, _, port = host.rpartition(":") if re.search(r"(\]|^[^:]*):\d+$", host) else (host, "", "")
    problem = f"port {port} is not between 0 and 65535" if int(port or 0) > 65535 else ""
    if name.startswith("["):
        try:
            ipaddress.IPv6Address(name[1:-1])
        except ValueError:
            problem = f"{name} is not an IPv6 address"
    elif not all(0 < len(label) < 64 for label in name.removesuffix(".").split(".")):
        problem = "each label of a host name must have 1 to 63 characters"
    if problem:
        raise ValueError(f"{protocol}://… has no valid host: {problem}")


def is_container(protocol: str, user: str) -> bool:
    """Return whether the text before the ``@`` is an Azure container, as in ``abfs://box@account``."""
    return protocol in ("az", "abfs", "abfss") and re.fullmatch(r"[\w.$-]+", user) is not None


def check_protocol(protocol: str) -> None:
    """Check that a protocol is allowed.

    Raises:
        ValueError: The protocol is not supported, or the command line must allow it first.
    """
    if protocol in EXTRAS or protocol in allowed_protocols():
        return
    if protocol in ALLOWABLE:
        raise ValueError(
            f"{protocol}:// is not allowed by default: if you trust this config, add "
            f"--allow-protocol {protocol}"
        )
    raise ValueError(
        f"{protocol}:// is not supported: use a path or s3://, gs://, abfs://, https://"
    )


def allowed_protocols() -> frozenset[str]:
    """Return the protocols that the environment adds."""
    return frozenset(os.environ.get(ALLOWED, "").split(",")) & ALLOWABLE


def allow_protocol(protocol: str) -> None:
    """Allow a protocol in this process and in the processes that it starts.

    Raises:
        ValueError: The protocol cannot be allowed.
    """
    if protocol in EXTRAS:
        return
    if protocol not in ALLOWABLE:
        valid = ", ".join(sorted(ALLOWABLE))
        raise ValueError(f"{protocol!r} cannot be allowed; choose one of: {valid}")
    os.environ[ALLOWED] = ",".join(sorted(allowed_protocols() | {protocol}))


_WORD = re.compile(r"[^\s'\"]+")
_PASSWORD = re.compile(r":\D")
"""Pattern of a colon before something other than a port."""
_PROTOCOL = re.compile(r"[\w+.-]*\Z")
MAX_PROTOCOL = 32
"""Characters before a ``://`` that are shown."""


def hide_literals(text: str) -> str:
    """Hide user-info and queries of the URLs in a text, unless they are ``${NAME}``."""
    if "://" not in text:
        return text
    # Every printed line passes here, and a stranger may have written it, so the time must be linear
    # in its length. One expression for whole URLs would start anew at each character.
    return _WORD.sub(lambda m: _hide_in(m[0]) if "://" in m[0] else m[0], text)


def _hide_in(word: str) -> str:
    """Hide the user-info of each URL in a text without spaces and quotes, then the query."""
    shown, at, last = [], 0, word.rfind("@")
    while (mark := word.find("://", at)) >= 0:
        start = mark + 3
        slash = word.find("/", start)
        authority = word[start : slash if slash >= 0 else None]
        protocol = _PROTOCOL.findall(word[max(at, mark - MAX_PROTOCOL) : mark])[0]
        shown.append(word[at:start])
        at = start
        user, mark_of_user, _ = authority.rpartition("@")
        if mark_of_user and (re.fullmatch(USER, user) or is_container(protocol, user)):
            continue
        end = last if _PASSWORD.search(authority) else start + len(user)
        if end > start or mark_of_user:
            shown.append("…")
            at = end
    return _hide_query("".join([*shown, word[at:]]))


def _hide_query(word: str) -> str:
    """Hide the text after the first ``?`` of a URL, unless it is a wildcard of an object store."""
    before, _, rest = word.partition("://")
    is_http = before.lower().endswith(("http", "https"))
    match = re.search(r"[?#]" if is_http else r"\?", rest)
    query = rest[match.end() :] if match else ""
    if not match or not (query if is_http else "=" in query) or re.fullmatch(QUERY, query):
        return word
    return f"{before}://{rest[: match.end()]}…"
