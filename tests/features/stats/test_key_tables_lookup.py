import numpy as np
import pandas as pd
import pytest

from pipeline.device import UNSEEN
from pipeline.features.stats.key_tables import _search_sorted


def made_of():
    """A table of its own for each call: what is made of it is kept."""
    return pd.DataFrame(), "known"


@pytest.mark.parametrize("copies", [1, 1000])  # by search, and by a table
def test_places_of_numbers_among_known_ones(device, copies):
    known = np.array([0, 3, 4, 90], dtype="int64")
    numbers = np.array([0, 3, 4, 90, -1, 1, 89, 91, 10**9] * copies, dtype="int64")
    found = device.to_host(_search_sorted(device.to_device(numbers), known, made_of(), device))
    assert found.dtype == "int64"
    assert found.tolist() == [0, 1, 2, 3, *[UNSEEN] * 5] * copies


def test_nothing_is_among_nothing(device):
    none = np.array([], dtype="int64")
    numbers = device.to_device(np.arange(-2, 5, dtype="int64"))
    assert device.to_host(_search_sorted(numbers, none, made_of(), device)).tolist() == [UNSEEN] * 7
    assert len(_search_sorted(device.to_device(none), np.array([1, 2]), made_of(), device)) == 0
