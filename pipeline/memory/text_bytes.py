"""Bytes of texts: of their codes and dictionaries in frames, and of their summaries."""

from __future__ import annotations

from collections.abc import Callable

DISTINCT_VALUE = 180
"""Bytes per distinct text in a summary, without its letters: a Python string, counts, a table."""
MERGED_AT_ONCE = 8
"""Summaries that are merged at a time (`pipeline.cluster.partitions`)."""


def text_bytes(distinct: float, letters: float, rows: int) -> float:
    """Return the bytes per row of a text: its code, and its share of the block's dictionary."""
    code = 1 if distinct < 128 else 2 if distinct < 32_768 else 4
    return code + distinct * (letters + 8) / max(rows, 1)


def summary_bytes(
    among: Callable[[int], float], letters: float, block_rows: int, blocks: int
) -> float:
    """Return the peak bytes of the distinct texts in a column's summaries, as they are merged.

    Args:
        among: returns the number of distinct texts among so many rows.
        letters: mean bytes of a text.
        block_rows: rows of a block.
        blocks: number of blocks.
    """
    texts, rows = among(block_rows * blocks), block_rows
    # each level of the tree has its summaries in memory until the next one is merged
    while blocks > 1:
        texts += min(blocks, MERGED_AT_ONCE) * among(rows)
        blocks, rows = -(-blocks // MERGED_AT_ONCE), rows * MERGED_AT_ONCE
    return texts * (2.5 * letters + DISTINCT_VALUE)  # dictionary, Python strings, serialized
