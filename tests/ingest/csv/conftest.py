"""The readers of CSV under test: the CPU's, a stand-in of cuDF's, and cuDF's where marked."""

import fake_cudf
import pytest

from pipeline.device import cpu


@pytest.fixture(params=["cpu", "stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request):
    """Return the `Frames` module whose reader is tested first."""
    if request.param == "cpu":
        return cpu
    if request.param == "stand-in":
        return fake_cudf.device()
    from pipeline.device.gpu import frames

    return frames
