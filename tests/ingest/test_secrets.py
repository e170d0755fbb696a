"""Secrets of storage options are used, and told nowhere: a store that tells them is read from."""

from __future__ import annotations

import json
import logging
import shutil

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.__main__ import status_of
from pipeline.config.loader import from_environment, has_password, redacted
from pipeline.config.model import Config
from pipeline.errors import ConfigError, InputError
from pipeline.predict.files import predict_files

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfi'CY"
ROWS = "x,y\n" + "".join(f"{i % 9},{i % 2}\n" for i in range(90))
QUICK = ["--set", "models={xgboost: {rounds: 2}}", "--set", "refit=never", "--no-dashboard"]


class TellTale(MemoryFileSystem):
    """A store whose every error and log line says with what it was opened."""

    protocol = "telltale"
    cachable = False
    trouble = None

    def __init__(self, token=None, **options):
        super().__init__(**options)
        self.token = token
        assert token == SECRET

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("telltale://"))

    def _open(self, path, *args, **kwargs):
        logging.getLogger("distributed.telltale").warning("opened with %r", self.token)
        if self.trouble is not None:
            raise self.trouble(f"GET ?token={self.token} {self.token!r}: refused")
        return super()._open(path, *args, **kwargs)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """(a config that reads from the store, the store's class)."""
    monkeypatch.setenv("PLANTED", SECRET)
    fsspec.register_implementation("telltale", TellTale, clobber=True)
    MemoryFileSystem().pipe("/d.csv", ROWS.encode())
    monkeypatch.setattr(TellTale, "trouble", None)
    config = tmp_path / "c.yaml"
    config.write_text(
        "data: {path: telltale://d.csv, target: y, storage_options: {token: '${PLANTED}'}}\n"
    )
    yield config, TellTale
    MemoryFileSystem().rm("/d.csv")


def no_secret(text):
    return not any(part in text.lower() for part in ("wjalrxutn", "k7mdeng", "bpxrfi"))


def test_a_run_leaves_no_secret_behind(store, tmp_path, capfd):
    config, _ = store
    run, out = tmp_path / "run", str(tmp_path / "o.csv")
    assert status_of(["run", str(config), "--out", str(run), *QUICK, "--json", "-v"]) == 0
    shutil.copytree(run, tmp_path / "copy")
    for command in (["plan", str(config), "--json"], ["report", str(run)],
                    ["predict", str(run), "telltale://d.csv", "--out", out, "--trust", "--json"],
                    ["compare", str(run), str(tmp_path / "copy"), "--all"], ["runs", str(tmp_path)]):  # fmt: skip
        assert status_of(command) == 0, command
    shown = capfd.readouterr()
    assert no_secret(shown.out) and no_secret(shown.err)
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) > 20
    for path in written:
        assert no_secret(path.read_bytes().decode("utf-8", "replace")), path
    assert 'opened with "${PLANTED}"' in (run / "log.txt").read_text()
    assert "${PLANTED}" in (run / "config.yaml").read_text()
    # a stranger's run could send new data, and the environment's secrets, to a server of its own
    with pytest.raises(InputError, match=r"storage options \(token\) say where[^→]*→[^→]*--trust"):
        predict_files(run, ["telltale://d.csv"], out)
    (tmp_path / "d.csv").write_text(ROWS)
    assert predict_files(run, [str(tmp_path / "d.csv")], out).rows == 90
    with pytest.raises(InputError, match="say where"):
        predict_files(run, [str(tmp_path / "d.csv")], "telltale://o.csv")


@pytest.mark.parametrize(
    ("kind", "status"),
    [(OSError, 2), (PermissionError, 2), (ValueError, 1), (RuntimeError, 1), (MemoryError, 3)],
)
def test_errors_of_the_store_are_told_without_it(store, capsys, kind, status):
    config, telltale = store
    telltale.trouble = kind
    assert status_of(["plan", str(config)]) == status
    told = capsys.readouterr()
    assert no_secret(told.err) and no_secret(told.out)
    assert "${planted}" in told.err.lower()


@pytest.mark.parametrize(
    "options",
    [
        {"token": "${A}and more"}, {"client_kwargs": {"aws_secret_access_key": "abc"}},
        {"connection_string": "AccountKey=abc"}, {"headers": {"Authorization": "Bearer abc"}},
        {"list": [{"password": "abc"}]}, {"passwd": 5}, {"account_key": "abc"},
        {"proxy": "http://me:abc@proxy"}, {"sas_token": ["abc"]},
    ],
)  # fmt: skip
def test_literal_secrets_are_refused_and_not_repeated(options):
    with pytest.raises(ConfigError, match=r"literal secret: write it as \$\{NAME\}") as caught:
        Config.parse({"data": {"path": "s3://a/b.csv", "target": "y", "storage_options": options}})
    assert "abc" not in str(caught.value)


def test_references_are_taken():
    options = {"token": "${A}", "headers": {"Authorization": "Bearer ${B}"}, "anon": True,
               "key": "${C}", "client_kwargs": {"endpoint_url": "http://localhost:9000"}}  # fmt: skip
    Config.parse({"data": {"path": "s3://a/b.csv", "target": "y", "storage_options": options}})


@pytest.mark.parametrize(
    "url",
    ["ftp://me:abc@host/d.csv", "https://host/d.csv?X-Amz-Signature=abc", "https://h/d?sig=abc&x=1",
     "https://h/d.csv?a=1&access_token=abc", "s3://key:abc@bucket/d.csv"],
)  # fmt: skip
def test_urls_with_a_password_or_signature_are_refused_and_not_repeated(url, tmp_path, capsys):
    assert has_password(url)
    run = ["run", "--data", url, "--target", "y", "--out", str(tmp_path / "run")]
    assert status_of(run) == 2
    told = capsys.readouterr()
    assert "password" in told.err and "abc" not in told.err + told.out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("url", ["s3://b/key=1/d.csv", "https://h/d.csv?versionId=3", "C:/a.csv"])
def test_plain_urls_hold_none(url):
    assert not has_password(url)


def test_what_the_environment_gave_is_redacted_longest_first(monkeypatch):
    monkeypatch.setenv("SHORT", "secret")
    monkeypatch.setenv("LONG", "secret and more")
    monkeypatch.setenv("TINY", "eu")
    assert from_environment({"a": ["${SHORT}", "${LONG}", "${TINY}"]})["a"][2] == "eu"
    assert redacted("x secret and more, secret, eu") == "x ${LONG}, ${SHORT}, eu"
    assert redacted(json.dumps("nothing")) == '"nothing"'
