"""A finished run that the tests of this folder copy and change."""

from __future__ import annotations

import pytest
from hostile import make_run


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with a finished run, ``run``, and its data, ``d.csv``."""
    folder = tmp_path_factory.mktemp("artefacts")
    make_run(folder)
    return folder
