"""Fixtures shared by all tests: the device every shared test runs on."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request):
    """The `Frames` module under test: pandas/NumPy, and cuDF/CuPy where marked tests run."""
    if request.param == "cpu":
        from pipeline.device import cpu

        return cpu
    from pipeline.device.gpu import frames

    return frames


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    """The in-process Dask client of a default run, without a dashboard."""
    from pipeline.cluster.client import connected
    from pipeline.config import Cluster

    folder = tmp_path_factory.mktemp("dask") / "tmp"
    with connected(Cluster(dashboard=False), "cpu", 2, folder) as found:
        yield found
