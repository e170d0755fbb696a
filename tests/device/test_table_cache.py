"""What is made of a table is made once, and goes with it."""

import gc

import pandas as pd

from pipeline.device.table_cache import TableCache


def test_a_value_is_made_once_for_each_table_and_name():
    made, constants = [], TableCache()
    tables = [pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]})]
    for _ in range(2):
        for number, table in enumerate(tables):
            for name in "xy":
                value = constants.get(table, name, lambda n=(number, name): made.append(n) or n)
                assert value == (number, name)
    assert made == [(0, "x"), (0, "y"), (1, "x"), (1, "y")]


def test_what_was_made_goes_with_its_table():
    constants, table = TableCache(), pd.DataFrame({"a": [1]})
    constants.get(table, "x", object)
    assert len(constants) == 1
    del table
    gc.collect()
    assert len(constants) == 0


def test_what_is_cleared_is_made_again_and_still_goes_with_its_table():
    made, constants = [], TableCache()
    table = pd.DataFrame({"a": [1]})
    for _ in range(2):
        constants.get(table, "x", lambda: made.append("x"))
        constants.get(table, "y", lambda: made.append("y"))
        constants.clear()
    assert made == ["x", "y"] * 2
    del table
    gc.collect()
    assert len(constants) == 0
