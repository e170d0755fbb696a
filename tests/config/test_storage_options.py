"""Storage options: an allow-list of keys by protocol, whose secrets are references."""

import pytest

from pipeline.config.model import Config, Table
from pipeline.config.storage_options import MODELS, check_source
from pipeline.errors import ConfigError

S3 = {
    "anon": True, "key": "${K}", "secret": "${S}", "endpoint_url": "http://127.0.0.1:9000",
    "client_kwargs": {"region_name": "eu-1", "endpoint_url": "${E}"}, "profile": "work",
    "config_kwargs": {"signature_version": "s3v4", "s3": {"addressing_style": "path"}},
}  # fmt: skip
TAKEN = {
    "s3://b/x.csv": S3,
    "gs://b/x.csv": {"project": "p-1", "token": "anon", "requester_pays": True},
    "abfs://b/x.csv": {"account_name": "me", "sas_token": "${SAS}", "anon": False},
    "gs://b/y.csv": {"endpoint_url": "http://127.0.0.1:4443", "token": "anon"},
    "abfs://b/y.csv": {"account_host": "me.blob.core.windows.net"},
    "https://h/x.csv": {"headers": {"Authorization": "Bearer ${TOKEN}"}},
    "local.csv": S3,
}
REFUSED = [
    ("s3://b/x", {"client": "ws://10.99.0.2:8786"}, "client: unknown key"),
    ("s3://b/x", {"target_protocol": "file"}, "target_protocol: unknown key"),
    ("s3://b/x", {"s3": {"fo": "x"}}, "s3: unknown key"),
    ("s3://b/x", {"client_kwargs": {"auth": "abc"}}, "client_kwargs.auth: unknown key"),
    ("s3://b/x", {"session": 5}, "session: unknown key"),
    ("s3://b/x", {"anon": "yes"}, "anon must be true or false"),
    ("s3://b/x", {"key": "abc"}, "key is a literal secret"),
    ("s3://b/x", {"key": "${A}abc"}, "key is a literal secret"),
    ("s3://b/x", {"key": ["${A}"]}, "key is a literal secret"),
    ("s3://b/x", {"secret": 5}, "secret is a literal secret"),
    ("s3://b/x", {"endpoint_url": "http://me:abc@h"}, "user name or password"),
    ("s3://b/x", {"endpoint_url": "https://h?auth=abc"}, "query"),
    ("s3://b/x", {"endpoint_url": "file:///x"}, "must be a URL"),
    ("s3://b/x", {"client_kwargs": 5}, "client_kwargs must be a mapping"),
    ("s3://b/x", {1: 2}, "storage_options"),
    ("gs://b/x", {"token": "abc"}, "token"),
    ("gs://b/x", {"endpoint_url": "https://h"}, "endpoint_url needs a token"),
    ("gs://b/x", {"endpoint_url": "${E}", "token": "google_default"}, "endpoint_url needs a token"),
    (
        "abfs://b/x",
        {"account_host": "evil.example", "anon": True},
        "account_host must be a host of Azure",
    ),
    ("abfs://b/x", {"account_host": "core.windows.net.evil.example"}, "account_host must be"),
    ("s3://b/x", {"config_kwargs": {"signature_version": "s3"}}, "config_kwargs.signature_version"),
    ("gs://b/x", {"project": "a b"}, "project"),
    ("abfs://b/x", {"connection_string": "AccountKey=abc"}, "connection_string is a literal"),
    ("https://h/x", {"headers": {"Authorization": "Bearer abc"}}, "literal secret"),
    ("https://h/x", {"auth": "abc"}, "auth: unknown key"),
    ("https://h/x", {"cookies": "abc"}, "cookies: unknown key"),
    ("https://h/x", {"bearer": "abc"}, "bearer: unknown key"),
    ("https://h/x", {"client_kwargs": {"auth": "abc"}}, "client_kwargs: unknown key"),
    ("local.csv", {"pass": "abc"}, "pass: unknown key"),
    ("local.csv", {"pw": "abc"}, "pw: unknown key"),
    ("local.csv", {"key": "abc"}, "key is a literal secret"),
]


@pytest.mark.parametrize("path", TAKEN)
def test_options_are_taken(path):
    check_source([path], TAKEN[path])
    kept = Config.parse({"data": {"path": path, "target": "y", "storage_options": TAKEN[path]}})
    assert kept.data.storage_options == TAKEN[path]  # as written: ${NAME} is filled in on opening


@pytest.mark.parametrize(("path", "options", "told"), REFUSED)
def test_options_are_refused_and_secrets_not_repeated(path, options, told):
    with pytest.raises(ConfigError) as caught:
        Config.parse({"data": {"path": path, "target": "y", "storage_options": options}})
    assert told in str(caught.value) and "abc" not in str(caught.value)
    with pytest.raises(ConfigError):
        side = {"path": path, "keys": ["k"], "storage_options": options}
        Config.parse({"data": {"path": "a.csv", "target": "y", "tables": {"t": side}}})


def test_options_must_fit_every_protocol():
    with pytest.raises(ValueError, match=r"key: unknown key.*\(for gs://\)"):
        check_source(["s3://a/b", "gs://a/b"], {"key": "${K}"})


@pytest.mark.parametrize("protocol", MODELS)
def test_no_protocol_takes_what_opens_another_file_system(protocol):
    names = ("fo", "fs", "mode", "protocol", "target_protocol", "target_options", "client", "session",
             "cache_storage", "same_names", "get_client", "client_kwargs", "auto_mkdir", "loop")  # fmt: skip
    for name in names:
        with pytest.raises(ValueError, match="storage_options"):
            check_source([f"{protocol}://b/x"], {name: "x"})


def test_a_side_table_is_checked_too():
    with pytest.raises(ConfigError, match="not supported"):
        Config.parse({"data": {"path": "a.csv", "target": "y",
                               "tables": {"t": {"path": "dask://x.csv", "keys": ["k"]}}}})  # fmt: skip
    assert Table(path=("t.csv",), keys=("k",)).storage_options == {}
