"""What XGBoost's trees and their histograms hold in memory, by its parameters."""

from __future__ import annotations

from dataclasses import dataclass

MAX_DEPTH = 12
"""Levels that a tree without a limit is taken to have."""
CACHED_NODES = 65_536
"""Histograms that XGBoost (3.2) keeps for one tree, at most: its ``max_cached_hist_node``."""
TREE, TREE_NODE = 5_000, 250
"""Bytes of a tree and of each of its nodes, when it is grown and packed for a checkpoint. 20,000
trees of one node took 5,000 a tree; 2,000 of 80 nodes and 1,000 of 459 took 250 a node."""


@dataclass(frozen=True)
class TreeGrowth:
    """How far a tree may grow."""

    depth: int
    """0: no limit."""
    max_leaves: int = 0
    """0: no limit."""

    def leaves(self, rows: int) -> float:
        """Leaves of a tree at most; each has four rows or more."""
        found = min(2.0 ** (self.depth or MAX_DEPTH), max(rows / 4, 1))
        return min(found, self.max_leaves or found)


def histogram_bytes(bins: int, growth: TreeGrowth, rows: int) -> int:
    """Bytes of the histograms of XGBoost's tree: two doubles a bin, for every node that is split.

    They stay until the next tree (XGBoost 3.2): 4,000 columns of 256 bins took 16 MB a node, 60
    nodes at depth 6 and 7 at depth 3; 1,000 columns 200 at depth 8. All columns have some, also
    those that ``colsample_bytree`` leaves out.

    Args:
        bins: of all columns.
        growth: of the tree.
        rows: that it is grown on.
    """
    return 16 * bins * int(min(max(growth.leaves(rows) - 1, 1), CACHED_NODES))


def tree_bytes(trees: int, growth: TreeGrowth, rows: int) -> int:
    """Bytes of so many trees.

    Args:
        trees: of all rounds and classes together.
        growth: of each.
        rows: that they are grown on.
    """
    return int(trees * (TREE + TREE_NODE * (2 * growth.leaves(rows) - 1)))
