"""Counts with their noun."""

import pytest

from pipeline.console.plural import pluralize, quantify


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1234, "1,234 rows")]
)
def test_one_is_singular(count, text):
    assert quantify(count, "row") == text


def test_a_plural_of_its_own():
    assert quantify(1, "class", "classes") == "1 class"
    assert quantify(3, "class", "classes") == "3 classes"
    assert pluralize(1, "has", "have") == "has" and pluralize(0, "has", "have") == "have"
