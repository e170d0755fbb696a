"""Bytes of XGBoost's trees, their histograms and the sketch of its bins, by its parameters."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.versions import has_change

MAX_DEPTH = 12
"""Levels assumed for a tree without a limit."""
CACHED_NODES = 65_536
"""Histograms that XGBoost (3.2) keeps per tree at most: its ``max_cached_hist_node``."""
TREE, TREE_NODE = 5_000, 250
"""Bytes per tree and per node of a tree that is grown and packed for a checkpoint.

20,000 trees of one node took 5,000 per tree. 2,000 trees of 80 nodes, and 1,000 of 459 nodes, took
250 per node.
"""
SKETCHED_VALUE = 24
"""Bytes per value that a GPU sorts for the quantiles: entry and weight, twice."""
SKETCH_WINDOW = 1 << 26
"""Values that it sorts at a time, since XGBoost 3.3."""


@dataclass(frozen=True)
class TreeGrowth:
    """The limits of a tree's growth."""

    depth: int
    """Levels; 0: no limit."""
    max_leaves: int = 0
    """0: no limit."""

    def leaves(self, rows: int) -> float:
        """Return the most leaves that a tree may have."""
        # leaves have four rows or more, whatever the depth
        most = min(2.0 ** (self.depth or MAX_DEPTH), max(rows / 4, 1))
        return min(most, self.max_leaves or most)


def histogram_bytes(bins: int, growth: TreeGrowth, rows: int) -> int:
    """Return the bytes of the histograms of XGBoost's tree.

    Args:
        bins: bins of all columns, also of those that ``colsample_bytree`` leaves out.
        growth: limits of the tree.
        rows: rows that the tree is grown on.
    """
    # Two doubles per bin, for every node that is split. They stay until the next tree (XGBoost
    # 3.2). Measured: 4,000 columns of 256 bins took 16 MB per node, for 60 nodes at depth 6 and 7
    # at depth 3; 1,000 columns had 200 nodes at depth 8.
    return 16 * bins * int(min(max(growth.leaves(rows) - 1, 1), CACHED_NODES))


def tree_bytes(trees: int, growth: TreeGrowth, rows: int) -> int:
    """Return the bytes of so many trees.

    Args:
        trees: trees of all rounds and classes together.
        growth: limits of each tree.
        rows: rows that they are grown on.
    """
    return int(trees * (TREE + TREE_NODE * (2 * growth.leaves(rows) - 1)))


def sketch_bytes(values: int, device_memory: int) -> int:
    """Return the bytes that a GPU needs for the quantiles of a block.

    Args:
        values: values of the block.
        device_memory: bytes of the GPU; 0: unknown.
    """
    # XGBoost 3.2 sorts an eighth of the GPU at a time, counted in float32
    before = device_memory // 32 or values
    window = SKETCH_WINDOW if has_change("sketch_windows") else before
    return SKETCHED_VALUE * min(values, window)
