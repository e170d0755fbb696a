"""Addresses of schedulers: what is checked is what is connected to."""

import json

import pytest

from pipeline.__main__ import run_command_line
from pipeline.cluster import remote
from pipeline.config.cluster import Cluster
from pipeline.config.model import Config
from pipeline.config.scheduler import is_local_kind, parse_address
from pipeline.errors import ConfigError, MachineError

DATA = {"data": {"path": "a.csv", "target": "y"}}
LOCAL = [
    "tcp://127.0.0.1:8786",
    "tcp://localhost:1",
    "tls://[::1]:8786",
    "tcp://127.9.9.9",
    "tcp://LocalHost:9/",
]
ELSEWHERE = [
    "tcp://10.99.0.2:8786", "tcp://localhost.example:1", "tcp://127.0.0.1.example:1", "tls://dask:1",
    "tcp://0.0.0.0:8786", "tcp://127.1:8786", "tcp://2130706433:1", "tcp://[::ffff:10.0.0.1]:1",
    "ucx://host:1", "ucxx://host:1", "s.json", "file:s",
]  # fmt: skip
WRONG = [
    "ws://127.0.0.1:x@10.99.0.2:8786", "tcp://127.0.0.1:x@10.99.0.2:8786", "wss://h:1", "ws://127.0.0.1:1",
    "tcp://127.0.0.1@10.99.0.2:8786", "tcp://127.0.0.1:1/@10.99.0.2:8786", "tcp://127.0.0.1 10.99.0.2:1",
    "tcp://127.0.0.1:8786,10.99.0.2:8786", "tcp://127.0.0.1:1#@10.99.0.2", "tcp://h:99999", "tcp://h:0",
    "tcp://[::1", "tcp://[g]:1", "inproc://1", "http://h:1", "tcp://", "tcp:/h:1", "core", "",
    "tcp://127.0.0.1:1\n", "tcp://127.0.0.1\\@10.99.0.2:1", "tcp://\u0661\u0662\u0667.0.0.1:1",
    "tcp://127.0.0.1:\u0661", "tcp://127.0.0.1://10.99.0.2:1", "ws://127.0.0.1.json", "TCP://h:1",
]  # fmt: skip


@pytest.mark.parametrize("kind", LOCAL)
def test_loopback_needs_no_command_line(kind):
    assert is_local_kind(kind)
    assert Config.from_file({**DATA, "cluster": kind}).cluster.kind == kind


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_another_host_comes_from_the_command_line_only(kind):
    with pytest.raises(ConfigError, match="another host"):
        Config.from_file({**DATA, "cluster": kind})
    with pytest.raises(ConfigError, match="another host"):
        Config.from_file({**DATA, "cluster": {"kind": kind}}, ["data.rows=5"])
    assert Config.from_file({**DATA, "cluster": "cores"}, [f"cluster.kind={kind!r}"])


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_address_is_refused(kind):
    for overrides in ([], ["cluster.timeout=1"]):
        with pytest.raises(ConfigError, match=r"cluster\.kind"):
            Config.from_file({**DATA, "cluster": {"kind": kind}}, overrides)


@pytest.mark.parametrize("kind", [*LOCAL, "tcp://10.99.0.2:8786", "tls://h"])
def test_the_client_connects_to_what_was_parsed(kind, monkeypatch):
    asked = []

    def refuse(address, timeout):
        asked.append(address)
        raise OSError("refused")

    monkeypatch.setattr("distributed.Client", refuse)
    with pytest.raises(MachineError, match="no Dask scheduler answers"):
        remote.connect_to_scheduler(Cluster(kind=kind))
    assert asked == [str(parse_address(kind))]
    assert parse_address(asked[0]) == parse_address(kind)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"address": "ws://127.0.0.1:x@10.99.0.2:8786"}', "holds no address"),
        ('{"address": 5}', "holds no address"), ("[]", "holds no address"), ("{", "holds no address"),
        ("[" * 100_000, "holds no address"), ('{"address": "tcp://127.0.0.1:1"}', "tcp://127.0.0.1:1"),
    ],
)  # fmt: skip
def test_a_scheduler_file_is_parsed_alike(text, told, tmp_path):
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(MachineError, match=told):
        remote.connect_to_scheduler(Cluster(kind=str(path), timeout=1))


def test_plan_takes_the_cluster_from_the_command_line(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(90)))
    plan = ["plan", "--data", str(tmp_path / "a.csv"), "--target", "y", "--json"]
    assert run_command_line([*plan, "--cluster", "tcp://10.99.0.2:8786"]) == 0  # nothing connects
    assert json.loads(capsys.readouterr().out)
