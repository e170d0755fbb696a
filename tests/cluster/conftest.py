"""A cluster of two processes, shared by the tests that do not kill its workers."""

from __future__ import annotations

import pytest

from pipeline.cluster.client import connected
from pipeline.config.model import Cluster


@pytest.fixture(scope="session")
def two(tmp_path_factory):
    """A client of ``cluster: cores`` with two processes."""
    folder = tmp_path_factory.mktemp("two") / "tmp"
    cluster = Cluster(kind="cores", workers=2, dashboard_address="127.0.0.1:0")
    with connected(cluster, "cpu", 2, folder) as client:
        yield client
