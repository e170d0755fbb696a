"""Who can reach a run's processes: nobody from another host; at ``tls://`` who has a certificate."""

from __future__ import annotations

import ipaddress

import dask
import numpy as np
import pandas as pd
import psutil
import pytest

from pipeline import Config, run
from pipeline.__main__ import run_command_line
from pipeline.cluster import client as clients
from pipeline.cluster import partitions
from pipeline.config.cluster import Cluster
from pipeline.errors import MachineError


def listening():
    """(address, port) at which this process and those that it started wait for others."""
    own = psutil.Process()
    found = set()
    for process in [own, *own.children(recursive=True)]:
        try:
            found |= {c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
        except psutil.Error:  # it has just ended
            continue
    return found


def elsewhere(found):
    """Those that other hosts can reach."""
    return {(ip, port) for ip, port in found if not ipaddress.ip_address(ip).is_loopback}


def test_cores_listen_on_the_loopback_alone(two):
    found = listening()
    assert len(found) >= 4, "scheduler, dashboard, and a worker's two"
    assert elsewhere(found) == set()


def test_so_does_this_process(client, tmp_path):
    assert elsewhere(listening()) == set()
    with clients.connect(Cluster(dashboard_address="0.0.0.0:0"), "cpu", 1, tmp_path / "tmp"):
        assert elsewhere(listening()), "it was told otherwise"
    assert elsewhere(listening()) == set()


# -- schedulers on other hosts ---------------------------------------------------------------------


ELSEWHERE = ("tcp://10.0.0.7:8786", "tls://dask.example:1", "tcp://127.0.0.1.example:1", "s.json")


def test_no_config_sends_a_run_to_another_host(tmp_path, capsys):
    """Whoever runs a scheduler can run code in the client: Dask's messages are pickles."""
    (tmp_path / "d.csv").write_text("x,y\n1,0\n2,1\n")
    config, data = tmp_path / "c.yaml", f"data: {{path: {tmp_path}/d.csv, target: y}}\n"
    for kind in ELSEWHERE:
        config.write_text(f"{data}cluster: {{kind: '{kind}', timeout: 1}}\n")
        for command in ("run", "plan"):
            assert run_command_line([command, str(config)]) == 2
            told = capsys.readouterr().err
            assert "can run any code here" in told and f"--cluster {kind}" in told
    told_so = ["run", str(config), "--cluster", "tcp://127.0.0.1:1"]
    assert run_command_line(told_so) == 3, "there it is looked for"


# -- tls:// ----------------------------------------------------------------------------------------


@pytest.fixture
def certificates(tmp_path):
    """Dask's settings of a certificate of our own, and of one that somebody else has signed."""
    pytest.importorskip("cryptography")
    from distributed import Security

    found = []
    for owner in ("ours", "theirs"):
        made = Security.temporary()
        key, cert = tmp_path / f"{owner}.key", tmp_path / f"{owner}.pem"
        key.write_text(made.tls_client_key)
        cert.write_text(made.tls_client_cert)
        each = {"key": str(key), "cert": str(cert)}
        roles = {f"distributed.comm.tls.{role}.{k}": v for role in ("client", "scheduler", "worker")
                 for k, v in each.items()}  # fmt: skip
        found.append({"distributed.comm.tls.ca-file": str(cert), **roles})
    return found


def double(value):
    return 2 * value


def test_a_run_on_a_tls_cluster(certificates, tmp_path):
    from distributed import LocalCluster, Security

    ours, theirs = certificates
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "z": rng.normal(size=200)})
    frame.assign(y=frame["x"] > 0).to_parquet(tmp_path / "d.parquet")
    with dask.config.set(ours):
        scheduler = LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, protocol="tls://",
            security=Security(), host="127.0.0.1", dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
        )  # fmt: skip
    with scheduler:
        address = scheduler.scheduler_address
        assert address.startswith("tls://127.0.0.1:")
        own = {"kind": address, "dashboard": False, "timeout": 60}
        with dask.config.set(ours):
            with clients.connect(Cluster(**own), "cpu", 1, tmp_path / "a" / "tmp") as client:
                parts = partitions.map_partitions(range(3), double)
                assert list(partitions.iter_results(client, parts)) == [0, 2, 4]
            tree = {
                "data": {"path": str(tmp_path / "d.parquet"), "target": "y"}, "refit": "never",
                "models": {"forest": {"trees": 2}}, "cluster": own,
            }  # fmt: skip
            assert run(Config.parse(tree), out=tmp_path / "run").metrics["rows"]["test"] > 0
        quick = Cluster(**{**own, "timeout": 2})
        for settings, kind in ((theirs, address), ({}, address.replace("tls", "tcp"))):
            stranger = quick.model_copy(update={"kind": kind})
            with (
                dask.config.set(settings),
                pytest.raises(MachineError, match="no Dask scheduler answers"),
                clients.connect(stranger, "cpu", 1, tmp_path / "b" / "tmp"),
            ):
                pytest.fail("let in")
