"""Data in object storage: moto's S3 server on loopback, found through the environment."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import pandas as pd
import pytest
from formats_input import read

from pipeline.__main__ import run_command_line
from pipeline.cluster.client import connect
from pipeline.config.cluster import Cluster
from pipeline.config.model import Config, Source
from pipeline.errors import ConfigError, InputError, MachineError
from pipeline.execution.runner import run
from pipeline.ingest.sources import files, filesystems
from pipeline.predict.batch import predict_files
from pipeline.predict.scorer import Scorer

FLIGHTS = Path(__file__).parents[3] / "data" / "flights"
SECRET = "hush-this-is-secret"


@pytest.fixture(scope="module")
def endpoint():
    """The address of an S3 server of this test module, with a bucket of tables."""
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "us", "aws_secret_access_key": SECRET}
    s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    s3.create_bucket(Bucket="air")
    flights = pd.read_parquet(FLIGHTS / "flights.parquet").iloc[:9000]
    for name, rows in (("a", slice(0, 4000)), ("b", slice(4000, None))):
        part = flights.iloc[rows]
        s3.put_object(Bucket="air", Key=f"parquet/{name}.parquet", Body=part.to_parquet())
        s3.put_object(Bucket="air", Key=f"csv/{name}.csv", Body=part.to_csv(index=False).encode())
    for name in ("weather.csv", "planes.csv"):
        s3.upload_file(str(FLIGHTS / name), "air", name)
    yield url
    server.stop()


@pytest.fixture
def store(endpoint, monkeypatch):
    """The server, as an environment with credentials finds it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "us")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    forget()
    yield endpoint
    forget()


def forget():
    """Drops file systems of an earlier environment."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def flights(path, **changes):
    """The flights config, small, with the main table at the path."""
    config = FLIGHTS.parents[1] / "conf" / "flights.yaml"
    small = {
        "data.path": path, "models.xgboost.rounds": 5, "models.forest.trees": 5,
        "cluster.dashboard": "false", "refit": "never", **changes,
    }  # fmt: skip
    return Config.load(config, [f"{key}={value}" for key, value in small.items()])


LOCAL = {f"data.tables.{n}.path": FLIGHTS / f"{n}.csv" for n in ("weather", "planes")}
REMOTE = {f"data.tables.{n}.path": f"s3://air/{n}.csv" for n in ("weather", "planes")}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A run over the same rows in a local file."""
    folder = tmp_path_factory.mktemp("reference")
    frame = pd.read_parquet(FLIGHTS / "flights.parquet").iloc[:9000]
    frame.to_parquet(folder / "flights.parquet")
    return run(flights(folder / "flights.parquet", **LOCAL), out=folder / "run")


def test_a_delta_table_in_a_bucket(store, tmp_path):
    import deltalake
    import s3fs

    frame = pd.DataFrame({"x": range(6), "word": ["a b", None, "c=d/é"] * 2})
    for mode in ("append", "overwrite"):
        deltalake.write_deltalake(tmp_path / "t", frame, partition_by=["word"], mode=mode)
    s3fs.S3FileSystem().put(str(tmp_path / "t"), "air/table", recursive=True)
    forget()
    options = {"key": "${AWS_ACCESS_KEY_ID}", "secret": "${AWS_SECRET_ACCESS_KEY}"}
    for given in ({}, options):
        found, contract = read("s3://air/table/", storage_options=given)
        found = found.sort_values("x").reset_index(drop=True)
        assert found["word"].isna().tolist() == [False, True, False] * 2
        assert found["word"].dropna().tolist() == ["a b", "c=d/é"] * 2
        assert found["x"].tolist() == list(range(6))
        assert "version 1" in contract.notes[0].message
        assert all(file.path.startswith("s3://air/table/") for file in contract.files)


@pytest.mark.parametrize("path", ["s3://air/parquet", "s3://air/csv/*.csv", "s3://air/*/b.parquet"])
def test_folders_and_globs_in_a_bucket_are_listed_in_order(store, path):
    found = [file.path for file in files.find_files(Source(path=(path,)))]
    wanted = {"s3://air/parquet": ["a", "b"], "s3://air/csv/*.csv": ["a", "b"]}.get(path, ["b"])
    assert [Path(p).stem for p in found] == wanted
    assert all(p.startswith("s3://air/") for p in found)


@pytest.mark.parametrize("path", ["s3://air/parquet/*.parquet", "s3://air/csv"])
def test_a_run_from_a_bucket_is_that_of_local_files(store, reference, tmp_path, path):
    outcome = run(flights(path, **REMOTE), out=tmp_path / "run")
    assert outcome.metrics == reference.metrics
    for file in ("features/plan.json", "train/xgboost.ubj", "train/forest.tl"):
        one, other = (o.folder / file for o in (outcome, reference))
        assert one.read_bytes() == other.read_bytes(), file
    assert not [p for p in outcome.folder.rglob("*") if p.is_file() and SECRET in text(p)]


def text(path):
    return path.read_bytes().decode("utf-8", errors="replace")


def test_options_may_name_the_endpoint_and_keys(store, tmp_path, monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("MY_SECRET", SECRET)
    forget()
    options = {"endpoint_url": store, "key": "${MY_SECRET}", "secret": "${MY_SECRET}"}
    config = flights(
        "s3://air/parquet", **LOCAL, **{f"data.storage_options.{k}": v for k, v in options.items()}
    )
    outcome = run(config, out=tmp_path / "run")
    assert "${MY_SECRET}" in text(outcome.folder / "config.yaml")
    assert not [p for p in outcome.folder.rglob("*") if p.is_file() and SECRET in text(p)]


def lose_the_secret():
    del os.environ["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture
def workers_elsewhere(store, tmp_path):
    """A scheduler's address; its two workers run in an empty folder, and know the store."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    own = Cluster(kind="cores", workers=2, dashboard=False)
    with connect(own, "cpu", 2, tmp_path / "dask" / "tmp") as client:
        client.run(os.chdir, folder)
        yield client


@pytest.mark.slow
def test_workers_in_another_folder_read_from_the_bucket(
    workers_elsewhere, reference, tmp_path, monkeypatch
):
    where = {"cluster.kind": workers_elsewhere.scheduler.address}
    outcome = run(flights("s3://air/parquet", **REMOTE, **where), out=tmp_path / "run")
    ledger = (outcome.folder / "ledger.jsonl").read_text()
    assert "2 of 2 workers boost together" in ledger
    assert outcome.metrics["rows"] == reference.metrics["rows"]
    plans = [json.loads(text(o.folder / "features" / "plan.json")) for o in (outcome, reference)]
    assert plans[0]["features"] == plans[1]["features"]

    monkeypatch.chdir(FLIGHTS)
    with pytest.raises(MachineError, match=r"worker tcp://.* does not see 1 of 1 data files"):
        run(flights("flights.parquet", **LOCAL, **where), out=tmp_path / "relative")
    workers_elsewhere.run(lose_the_secret)
    names = {"key": "AWS_ACCESS_KEY_ID", "secret": "AWS_SECRET_ACCESS_KEY"}
    options = {f"data.storage_options.{k}": f"${{{name}}}" for k, name in names.items()}
    with pytest.raises(ConfigError, match=r"worker tcp://.*has no 'AWS_SECRET_ACCESS_KEY'"):
        run(flights("s3://air/parquet", **LOCAL, **where, **options), out=tmp_path / "no-key")


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_predict_reads_from_a_bucket_and_writes_to_one(store, reference, tmp_path, name):
    made = predict_files(reference.folder, ["s3://air/csv/*.csv"], f"s3://air/out/{name}")
    assert made.rows == 9000 and made.out == f"s3://air/out/{name}"
    local = tmp_path / name
    predict_files(reference.folder, ["s3://air/parquet"], local)
    read = pd.read_csv if name.endswith("csv") else pd.read_parquet
    fs = filesystems.open_filesystem(made.out, {})
    with fs.open(made.out) as stream:
        pd.testing.assert_frame_equal(read(stream), read(local))
    newer = predict_files(
        reference.folder, ["s3://air/parquet"], local, tables=["weather=s3://air/weather.csv"]
    )
    assert newer.rows == 9000
    with pytest.raises(InputError, match="there is no bucket 'nowhere'"):
        predict_files(reference.folder, ["s3://air/parquet"], f"s3://nowhere/{name}")
    assert len(Scorer.load(reference.folder).columns)


def test_predict_opens_urls_with_the_options_of_the_command_line(
    endpoint, reference, tmp_path, monkeypatch, capsys
):
    forget()
    monkeypatch.setenv("MY_KEY", "us")
    monkeypatch.setenv("MY_SECRET", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    given = [f"endpoint_url={endpoint}", "key=${MY_KEY}", "secret=${MY_SECRET}",
             "client_kwargs.region_name=us-east-1"]  # fmt: skip
    options = [word for option in given for word in ("--storage-option", option)]
    predict = [
        "predict",
        str(reference.folder),
        "s3://air/parquet",
        "--out",
        "s3://air/out/cli.csv",
    ]
    assert run_command_line([*predict, *options]) == 0, capsys.readouterr().err
    assert run_command_line([*predict, "--storage-option", f"secret={SECRET}"]) == 2
    told = capsys.readouterr().err
    assert "literal secret" in told and SECRET not in told
    forget()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("s3://nowhere/a.csv", "there is no bucket 'nowhere'"),
        ("s3://nowhere/*.csv", "there is no bucket 'nowhere'"),
        ("s3://air/gone.csv", "there is no 's3://air/gone.csv'"),
        ("s3://air/gone/*.csv", "no file matches 's3://air/gone/"),
    ],
)
def test_what_is_not_there_is_named(store, path, message):
    with pytest.raises(InputError, match=message.replace("*", r"\*")):
        files.find_files(Source(path=(path,)))


def test_without_credentials_the_error_says_how_to_give_them(store, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    forget()
    with pytest.raises(InputError, match="(?i)unable to locate credentials") as caught:
        files.find_files(Source(path=("s3://air/parquet",)))
    assert "AWS_ACCESS_KEY_ID" in caught.value.fix


@pytest.mark.parametrize("path", ["s3://air/planes.csv", "s3://air/*.csv", "s3://air"])
def test_refused_credentials_are_named(store, path):
    requests = pytest.importorskip("requests")
    requests.post(f"{store}/moto-api/reset-auth", data=b"0", timeout=60)  # from now on all count
    try:
        with pytest.raises(InputError, match="cannot be read: forbidden") as caught:
            files.find_files(Source(path=(path,)))
    finally:
        requests.post(f"{store}/moto-api/reset-auth", data=b"inf", timeout=60)
    assert "credentials" in caught.value.fix and SECRET not in str(caught.value)
    # The bucket also holds a Delta table, which must be named itself.
    assert files.find_files(Source(path=("s3://air/*.csv" if path == "s3://air" else path,)))


def test_a_store_that_does_not_answer_is_the_machines_fault(store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    forget()
    with pytest.raises(MachineError, match="cannot be reached.*127") as caught:
        files.find_files(Source(path=("s3://air/parquet",)))
    assert "AWS_ENDPOINT_URL" in caught.value.fix


def test_without_s3fs_the_error_names_the_extra(monkeypatch):
    registry = importlib.import_module("fsspec.registry")  # `fsspec.registry` is a mapping
    monkeypatch.setitem(sys.modules, "s3fs", None)  # the import fails
    monkeypatch.delitem(registry._registry, "s3", raising=False)  # what an earlier one left
    with pytest.raises(MachineError, match="no library for s3://") as caught:
        files.find_files(Source(path=("s3://air/parquet",)))
    assert caught.value.fix == 'install it: pip install "pipeline[s3]"'


@pytest.mark.parametrize(
    "source",
    [
        {"storage_options": {"secret": SECRET}},
        {"storage_options": {"client_kwargs": {"aws_secret_access_key": SECRET}}},
        {"path": f"ftp://us:{SECRET}@host/a.csv"},
    ],
)
def test_secrets_in_the_config_are_refused_and_not_repeated(source):
    with pytest.raises(ConfigError) as caught:
        Config.parse({"data": {"path": "s3://air/a.csv", "target": "y", **source}})
    assert SECRET not in json.dumps(str(caught.value))


def test_a_run_folder_is_local(tmp_path):
    with pytest.raises(InputError, match="a run folder is local"):
        run(flights(FLIGHTS / "flights.parquet", **LOCAL), out="s3://air/run")
