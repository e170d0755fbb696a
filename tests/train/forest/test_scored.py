"""Scores of a set's rows gathered in one pass: by row id, whatever order the partitions come in."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.matrix import Matrix, Target
from pipeline.train import feed as feeds
from pipeline.train.feed import PartitionedFeed

TARGET = Target("binary", (False, True))


def blocks(order, weighted=False):
    """Partitions of rows 3 i to 3 i + 2; even ids are valid, odd ones test."""
    found = []
    for start in order:
        ids = np.arange(3 * start, 3 * start + 3)
        made = {}
        for which, kept in (("valid", ids % 2 == 0), ("test", ids % 2 == 1)):
            own = ids[kept]
            x = np.column_stack([own, -own]).astype("float32")
            weight = own / 2 if weighted else None
            made[which] = Matrix(x, (own % 4 > 1).astype("float64"), weight, own)
        found.append(made)
    return found


class Given(PartitionedFeed):
    """A feed of partitions that are there."""

    def map_partitions(self, sets, function, *arguments):
        return (function(found, *arguments) for found in self.client)


def feed(found, **counts):
    return Given(found, None, (), TARGET, "cpu", {"valid": 0, "test": 0, **counts})


def score(given):
    return feeds.score_sets(
        given, ("valid", "test"), {"m": lambda x: x[:, 0] / 100, "k": lambda x: x}
    )


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0, 3, 1]])
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_are_in_the_order_of_their_ids(order, weighted):
    found = score(feed(blocks(order, weighted), valid=6, test=6))
    for which, ids in (("valid", np.arange(0, 12, 2)), ("test", np.arange(1, 12, 2))):
        own = found[which]
        assert own.ids.tolist() == ids.tolist()
        assert own.label.dtype == "uint8" and own.label.tolist() == (ids % 4 > 1).tolist()
        assert own.score["m"].tolist() == (ids.astype("float32") / 100).tolist()
        assert own.score["k"].tolist() == [[i, -i] for i in ids.tolist()]
        assert (own.weight is None) is not weighted
        if weighted:
            assert own.weight.tolist() == (ids / 2).tolist()


def test_a_set_without_rows_has_empty_columns():
    found = score(feed([{}]))
    assert found["test"].ids.shape == found["test"].score["m"].shape == (0,)


def test_a_partition_that_is_lost_is_no_shorter_result():
    with pytest.raises(AssertionError, match="6 rows of 9"):
        score(feed(blocks([0, 1, 2, 3]), valid=9, test=6))
