"""Secrets of storage options are used, and told nowhere: a store that tells them is read from."""

from __future__ import annotations

import json
import logging
import shutil

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.__main__ import run_command_line
from pipeline.config import urls
from pipeline.config.loader import expand_environment, redact
from pipeline.errors import InputError
from pipeline.predict.batch import predict_files

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
    monkeypatch.setattr(urls, "ALLOWABLE", urls.ALLOWABLE | {"telltale"})
    monkeypatch.setenv(urls.ALLOWED, "telltale")
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
    assert run_command_line(["run", str(config), "--out", str(run), *QUICK, "--json", "-v"]) == 0
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "d.csv").write_text(ROWS)
    for command in (["plan", str(config), "--json"], ["report", str(run)],
                    ["predict", str(run), "telltale://d.csv", "--out", out, "--json",
                     "--storage-option", "token=${PLANTED}"],
                    ["compare", str(run), str(tmp_path / "copy"), "--all"], ["runs", str(tmp_path)]):  # fmt: skip
        assert run_command_line(command) == 0, command
    shown = capfd.readouterr()
    assert no_secret(shown.out) and no_secret(shown.err)
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) > 20
    for path in written:
        assert no_secret(path.read_bytes().decode("utf-8", "replace")), path
    assert 'opened with "${PLANTED}"' in (run / "log.txt").read_text()
    assert "${PLANTED}" in (run / "config.yaml").read_text()
    # a stranger's run could send new data, and the environment's secrets, to a server of its own
    with pytest.raises(
        InputError,
        match=r"storage options \(token\) are not used[\s\S]*Fix:[\s\S]*--storage-option",
    ):
        predict_files(run, ["telltale://d.csv"], out)
    assert predict_files(run, [str(tmp_path / "d.csv")], out).rows == 90
    with pytest.raises(InputError, match="are not used"):
        predict_files(run, [str(tmp_path / "d.csv")], "telltale://o.csv")


@pytest.mark.parametrize(
    ("kind", "status"),
    [(OSError, 2), (PermissionError, 2), (ValueError, 1), (RuntimeError, 1), (MemoryError, 3)],
)
def test_errors_of_the_store_are_told_without_it(store, capsys, kind, status):
    config, telltale = store
    telltale.trouble = kind
    assert run_command_line(["plan", str(config)]) == status
    told = capsys.readouterr()
    assert no_secret(told.err) and no_secret(told.out)
    assert "${planted}" in told.err.lower()


def test_urls_that_are_refused_are_not_repeated(tmp_path, capsys):
    for url in (
        "https://ghp_abc@host/d.csv",
        "https://host/d.csv?jwt=abc",
        "http://me:abc/x@host/d.csv",
    ):
        assert (
            run_command_line(
                ["run", "--data", url, "--target", "y", "--out", str(tmp_path / "run")]
            )
            == 2
        )
        assert run_command_line(["predict", str(tmp_path), "d.csv", "--out", url]) == 2
    told = capsys.readouterr()
    assert "environment" in told.err and "abc" not in told.err + told.out
    assert not (tmp_path / "run").exists()


def test_what_the_environment_gave_is_redacted_longest_first(monkeypatch):
    monkeypatch.setattr("pipeline.config.loader._secrets", {})  # not for later tests
    monkeypatch.setenv("SHORT", "secret")
    monkeypatch.setenv("LONG", "secret and more")
    monkeypatch.setenv("TINY", "eu")
    assert expand_environment({"a": ["${SHORT}", "${LONG}", "${TINY}"]})["a"][2] == "eu"
    assert redact("x secret and more, secret, eu") == "x ${LONG}, ${SHORT}, eu"
    assert redact(json.dumps("nothing")) == '"nothing"'
