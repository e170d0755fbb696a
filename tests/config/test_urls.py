"""Which URLs may be used; what is hidden of those that are shown."""

import time

import pytest

from pipeline.config.urls import (
    ALLOWABLE,
    ALLOWED,
    EXTRAS,
    allow_protocol,
    hide_literals,
    is_url,
    parse_url,
)

PLAIN = {
    "s3://air/k=1/x?.csv": ("s3", "", "air", "/k=1/x?.csv", ""),
    "s3://b/x::y.csv": ("s3", "", "b", "/x::y.csv", ""),
    "gs://b/x@y#1.csv": ("gs", "", "b", "/x@y#1.csv", ""),
    "abfs://box@account.dfs.core.windows.net/x": (
        "abfs", "box", "account.dfs.core.windows.net", "/x", ""),
    "s3://arn:aws:s3:eu:123:accesspoint/ap/x": ("s3", "", "arn:aws:s3:eu:123:accesspoint", "/ap/x", ""),
    "https://h:80/a.csv?token=${T}&v=${V}": ("https", "", "h:80", "/a.csv", "token=${T}&v=${V}"),
    "https://h/a.csv?${QUERY}": ("https", "", "h", "/a.csv", "${QUERY}"),
    "http://${USER}:${PASSWORD}@[::1]:80/a.csv": (
        "http", "${USER}:${PASSWORD}", "[::1]:80", "/a.csv", ""),
}  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_urls_are_parsed(text):
    url = parse_url(text)
    assert (url.protocol, url.user, url.host, url.path, url.parameters) == PLAIN[text]
    assert is_url(text) and hide_literals(f"see {text} now") == f"see {text} now"


@pytest.mark.parametrize(
    "text",
    ["zip://a.csv::simplecache::file:///x", "s3://b::dask://x", "simplecache::s3://b/x",
     "zip://x.csv::/etc/passwd", "s3://a/b::file"],
)  # fmt: skip
def test_chained_urls_are_refused(text):
    assert is_url(text)
    with pytest.raises(ValueError, match=r"chained URLs|not supported"):
        parse_url(text)


def test_every_protocol_of_fsspec_is_stated_or_refused(monkeypatch):
    from fsspec.registry import known_implementations

    monkeypatch.delenv(ALLOWED, raising=False)
    for protocol in known_implementations:
        if protocol in EXTRAS:
            continue
        with pytest.raises(ValueError, match="not supported|--allow-protocol"):
            parse_url(f"{protocol}://x.csv")
    for protocol in sorted({*known_implementations} - ALLOWABLE - {*EXTRAS}):
        with pytest.raises(ValueError, match="cannot be allowed"):
            allow_protocol(protocol)
        monkeypatch.setenv(ALLOWED, protocol)
        with pytest.raises(ValueError, match="not supported"):
            parse_url(f"{protocol}://x.csv")


def test_no_protocol_that_may_be_allowed_opens_another_file_system():
    """Those that do take ``fo``, ``fs`` or ``target_protocol``."""
    import inspect

    import fsspec

    checked = 0
    for protocol in ALLOWABLE:
        try:
            kind = fsspec.get_filesystem_class(protocol)
        except (ImportError, ValueError):
            continue
        names = {*inspect.signature(kind.__init__).parameters}
        assert not names & {"fo", "fs", "target_protocol", "default_method"}, protocol
        checked += 1
    assert checked >= 4


def test_a_protocol_is_allowed_for_this_process_and_those_it_starts(monkeypatch):
    monkeypatch.setenv(ALLOWED, "")
    with pytest.raises(ValueError, match="--allow-protocol sftp"):
        parse_url("sftp://h/x.csv")
    allow_protocol("sftp")
    allow_protocol("ftp")
    assert parse_url("sftp://h/x.csv").protocol == "sftp"
    assert not parse_url("sftp://h/x.csv").is_writable


SECRETS = [
    "http://user:pa/ss@h", "https://ghp_abc@h/x.csv", "https://h/x?auth=abc", "https://h/x?code=abc",
    "https://h/x?pwd=abc&x=${A}", "https://h/x?jwt=abc", "https://h/x?abc", "https://h/x#token=abc",
    "s3://key:abc@bucket/d.csv", "https://me:abc@host/d.csv", "ftp://me:abc@host/d.csv",
    "https://${A}abc@h/x", "https://h/x?t=${A}abc", "http://user:abc/x@h", "gs://abc@b/x",
]  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_literal_secrets_are_refused_and_not_repeated(text, monkeypatch):
    monkeypatch.setenv(ALLOWED, "ftp")
    with pytest.raises(ValueError, match=r"environment") as caught:
        parse_url(text)
    assert "abc" not in str(caught.value) and "pa/ss" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://ghp_abc@h/x: no", "at https://…@h/x: no"),
        ("at 'http://user:pa/ss@h'", "at 'http://…@h'"),
        ("https://h/x?sig=abc&x=1 is", "https://h/x?… is"),
        ("https://h/x?ghp_abc", "https://h/x?…"),
        ("https://h/x#token=abc", "https://h/x#…"),
        ("https://me:a@b@c@h/x", "https://…@h/x"),
        ("https://${A}:${B}@h/x?t=${C} (http://u@h)", "https://${A}:${B}@h/x?t=${C} (http://…@h)"),
        ("http://h:80/x,http://u:abc@h/x", "http://h:80/x,http://…@h/x"),
        ("https://u:p/q@h/a@b", "https://…@b"),
        ("s3://b/a?.csv, a@b.c and 127.0.0.1:8787", "s3://b/a?.csv, a@b.c and 127.0.0.1:8787"),
        ("http://127.0.0.1:8787/status", "http://127.0.0.1:8787/status"),
    ],
)
def test_literals_are_hidden_in_what_is_shown(text, shown):
    assert hide_literals(text) == shown


@pytest.mark.parametrize(
    "text",
    ["a" * 10**6 + "://", "a://" * 10**5, "a://b:c" * 10**5, "://?" * 10**5, "://a?" * 10**5,
     "a://" + "b:" * 10**5, "a://" + "${A}:" * 10**5 + "@", "a://@" * 10**5, "?=" * 10**5 + "://"],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_hiding_takes_time_in_proportion_to_the_text(text):
    started = time.process_time()
    hide_literals(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("text", ["s3://", "s3a:///x.csv", "gs://", "https://", "az:///x.csv"])
def test_a_url_names_a_host_or_bucket(text):
    with pytest.raises(ValueError, match="names no host or bucket"):
        parse_url(text)


@pytest.mark.parametrize("path", ["a.csv", "a/b://c", "./dask://x", "C:/a.csv", "a::b.csv", "~/x"])
def test_paths_are_local(path):
    assert not is_url(path)


@pytest.mark.parametrize(
    ("host", "why"),
    [("h:99999", "port 99999"), ("a..b", "label"), ("a" * 64 + ".b", "label"),
     ("[::::]", "IPv6"), ("[1:2]:80", "IPv6"), (".", "label")],
)  # fmt: skip
def test_hosts_that_libraries_refuse_late_are_refused_at_once(host, why):
    with pytest.raises(ValueError, match=f"no valid host.*{why}"):
        parse_url(f"http://{host}/x.csv")


@pytest.mark.parametrize("host", ["h.", "a_b-c:0", "[::1]", "[::1]:65535", "127.0.0.1:80"])
def test_odd_hosts_may_be_named(host):
    assert parse_url(f"https://{host}/x.csv").host == host
