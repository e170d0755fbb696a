"""The harness of the session: one server that forks for each case."""

from __future__ import annotations

import pytest
from hostile_driver import Harness


@pytest.fixture(scope="session")
def harness(tmp_path_factory):
    """The running `Harness`; its folders hold what the cases with violations left."""
    with Harness(tmp_path_factory.mktemp("hostile") / "cases") as found:
        yield found
