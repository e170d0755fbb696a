"""Every op's docstring has an example, and it gives what it says."""

from __future__ import annotations

import doctest
import importlib

import pytest

from pipeline.features.registry import REGISTRY


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_the_example_gives_what_it_says(name):
    module = importlib.import_module(f"pipeline.features.ops.{name}")
    result = doctest.testmod(module)
    assert result.attempted >= 2, "no example in the docstring"
    assert result.failed == 0
