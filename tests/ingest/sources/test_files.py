"""Which files a source names."""

import os

import fsspec
import pandas as pd
import pytest

from pipeline.config.model import Source
from pipeline.config.urls import ALLOWED, parse_url
from pipeline.device import cpu
from pipeline.errors import ConfigError, InputError, MachineError, SchemaError
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract
from pipeline.ingest.sources import files, filesystems


def source(*paths, **more):
    return Source(path=tuple(str(p) for p in paths), **more)


def names(found):
    return [os.path.basename(f.path) for f in found]


@pytest.fixture
def tree(tmp_path):
    for name in (
        "b.csv",
        "a.csv",
        "sub/c.csv.gz",
        "_tmp/x.csv",
        ".hidden.csv",
        "_SUCCESS",
        "notes.md",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"n,s\n1,a\n")
    return tmp_path


def test_folders_are_sorted_and_searched_to_the_bottom(tree):
    assert names(files.find_files(source(tree))) == ["a.csv", "b.csv", "c.csv.gz"]


def test_globs_are_sorted_and_lists_are_not(tree):
    assert names(files.find_files(source(tree / "*.csv"))) == ["a.csv", "b.csv"]
    assert names(files.find_files(source(tree / "**/*.csv*"))) == ["a.csv", "b.csv", "c.csv.gz"]
    assert names(files.find_files(source(tree / "b.csv", tree / "a.csv"))) == ["b.csv", "a.csv"]


def test_a_file_whose_name_looks_like_a_glob(tmp_path):
    (tmp_path / "a[1].csv").write_text("n\n1\n")
    assert names(files.find_files(source(tmp_path / "a[1].csv"))) == ["a[1].csv"]


def test_fingerprints_follow_the_content(tree):
    before = files.find_files(source(tree / "a.csv"))[0]
    (tree / "a.csv").write_text("n,s\n1,a\n2,b\n")
    after = files.find_files(source(tree / "a.csv"))[0]
    assert before.fingerprint != after.fingerprint
    assert after.size == 12


def test_the_format_is_found_or_said(tmp_path):
    (tmp_path / "data.bin").write_text("n,s\n1,a\n")
    pd.DataFrame({"n": [1]}).to_parquet(tmp_path / "table")
    with pytest.raises(SchemaError, match="does not show the format"):
        infer_contract(source(tmp_path / "data.bin"))
    assert infer_contract(source(tmp_path / "data.bin", format="csv")).format == "csv"
    assert infer_contract(source(tmp_path / "table")).format == "parquet"


@pytest.mark.parametrize(
    ("make", "path", "message"),
    [
        ({}, "nothing.csv", "there is no file or folder"),
        ({"flights.csv": "a\n1\n"}, "flight.csv", "did you mean '.*flights.csv'"),
        ({}, "*.csv", "no file matches"),
        ({}, "", "is empty"),
        ({"a.md": "x"}, "", "has no data file"),
    ],
)
def test_nothing_found(tmp_path, make, path, message):
    for name, text in make.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        files.find_files(source(tmp_path / path))
    assert raised.value.status == 2


def test_mixtures_and_doubles(tmp_path):
    (tmp_path / "a.csv").write_text("n\n1\n")
    pd.DataFrame({"n": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(SchemaError, match="mixed"):
        infer_contract(source(tmp_path))
    with pytest.raises(SchemaError, match="named twice"):
        files.find_files(source(tmp_path / "a.csv", tmp_path / "*.csv"))


def test_key_value_folders(tmp_path):
    for year, place in ((2020, "a%20b"), (2021, "__HIVE_DEFAULT_PARTITION__")):
        folder = tmp_path / f"year={year}" / f"place={place}"
        folder.mkdir(parents=True)
        (folder / "part.csv").write_text("n\n1\n2\n")
    contract = infer_contract(source(tmp_path))
    assert [(c.name, c.dtype) for c in contract.schema] == [
        ("n", "int64"), ("year", "int64"), ("place", "text"),
    ]  # fmt: skip
    blocks = plan_blocks(contract)
    frame = cpu.concat([read_block(b, contract, ["place", "n", "year"], cpu)[0] for b in blocks])
    assert frame["year"].to_list() == [2020, 2020, 2021, 2021]
    assert frame["place"].to_list()[:2] == ["a b", "a b"]
    assert frame["place"].isna().to_list() == [False, False, True, True]
    assert list(frame.index) == [0, 1, 2, 3]
    only = infer_contract(source(tmp_path / "year=2020"))
    assert only.schema.names == ["n", "place"]
    glob = infer_contract(source(tmp_path / "year=*/*/*.csv"))
    assert glob.schema.names == ["n", "year", "place"]
    text = infer_contract(source(tmp_path, types={"year": "text"}))
    assert text.schema["year"].dtype == "text"
    with pytest.raises(SchemaError, match="place=a b is not an integer"):
        infer_contract(source(tmp_path, types={"place": "integer"}))


def test_key_value_folders_that_differ(tmp_path):
    for folder in ("year=1", "month=1"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text("n\n1\n")
    with pytest.raises(SchemaError, match="same key=value folders"):
        infer_contract(source(tmp_path))
    (tmp_path / "year=1" / "a.csv").write_text("year\n1\n")
    with pytest.raises(SchemaError, match="'year' is a folder's key and a column"):
        infer_contract(source(tmp_path / "year=*"))


def test_urls(tmp_path, monkeypatch):
    monkeypatch.setenv(ALLOWED, "memory")
    memory = fsspec.filesystem("memory")
    memory.pipe("/data_urls/k=1/b.csv", b"n,s\n3,x\n")
    memory.pipe("/data_urls/k=1/a.csv", b"n,s\n1,x\n2,y\n")
    for path in ("memory://data_urls", "memory://data_urls/*/*.csv", "memory://data_urls/k=1/"):
        contract = infer_contract(source(path))
        blocks = plan_blocks(contract, 4)
        frame = cpu.concat([read_block(b, contract, ["n"], cpu)[0] for b in blocks])
        assert frame["n"].to_list() == [1, 2, 3]
        assert ("k" in contract.schema) == ("k=1" not in path)
    pd.DataFrame({"n": [5]}).to_parquet(tmp_path / "a.parquet")
    memory.pipe("/data_urls/a.parquet", (tmp_path / "a.parquet").read_bytes())
    contract = infer_contract(source("memory://data_urls/a.parquet"))
    assert read_block(plan_blocks(contract)[0], contract, ["n"], cpu)[0]["n"].to_list() == [5]
    with pytest.raises(InputError, match="there is no 'memory://nothing.csv'"):
        files.find_files(source("memory://nothing.csv"))


@pytest.mark.parametrize(
    ("url", "extra"), [("s3://b/a.csv", "s3"), ("gs://b/a.csv", "gcs"), ("abfs://b/a.csv", "azure")]
)
def test_a_missing_library_is_named_with_its_extra(url, extra, monkeypatch):
    def missing(*_, **__):
        raise ImportError("Install it")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(MachineError, match=rf'pip install "pipeline\[{extra}\]"'):
        files.find_files(source(url))


def test_unknown_protocols_and_absent_secrets(monkeypatch):
    with pytest.raises(ValueError, match="nonsense"):
        source("nonsense://a/b.csv")
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        files.find_files(source("s3://a/a.csv", storage_options={"key": "${NO_SUCH_KEY}"}))


def test_a_container_keeps_its_account():
    fs = fsspec.filesystem("memory")
    url = parse_url("abfs://box@account.dfs.core.windows.net/k/*.csv")
    found = files._remote_file(fs, url, {"name": "box/k/a.csv", "size": 3}, ())
    assert found.path == "abfs://box@account.dfs.core.windows.net/k/a.csv"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_permission_denied(tmp_path):
    (tmp_path / "a.csv").write_text("n\n1\n")
    (tmp_path / "a.csv").chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        files.find_files(source(tmp_path / "a.csv"))


def test_a_file_that_is_gone_when_opened(tmp_path):
    with (
        pytest.raises(InputError, match="no longer exists"),
        filesystems.open_file(str(tmp_path / "a.csv"), {}),
    ):
        pass
