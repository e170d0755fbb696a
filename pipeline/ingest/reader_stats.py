"""Counts of blocks per reader in this process, and reasons for the CPU reader, for the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from threading import Lock

from pipeline.console.plural import quantify

# Dask's threads count at the same time.
_lock = Lock()
_blocks: Counter[tuple[str, str]] = Counter()
SHOWN = 5
"""Reasons that a note lists."""


def count_block(library: str, reason: str = "") -> None:
    """Count a block, read by the device's ``library`` or, for a reason, by the CPU reader."""
    with _lock:
        _blocks[library, reason] += 1


def take_counts() -> dict[tuple[str, str], int]:
    """Return the blocks per (library, reason) since the last call; empty if the library read."""
    with _lock:
        counts = dict(_blocks)
        _blocks.clear()
    return counts


def describe_counts(counts: Iterable[Mapping[tuple[str, str], int]]) -> list[str]:
    """Summarise the counts of several processes in one line; none if the device has no readers."""
    total: Counter[tuple[str, str]] = Counter()
    for one in counts:
        total.update(one)
    if not total:
        return []
    library = next(iter(total))[0]
    on_device = sum(n for (_, reason), n in total.items() if not reason)
    on_cpu = [(reason, n) for (_, reason), n in total.most_common() if reason]
    line = f"read by {library}: {quantify(on_device, 'block')}"
    if on_cpu:
        reasons = "; ".join(f"{n:,}: {reason}" for reason, n in on_cpu[:SHOWN])
        more = "; …" if len(on_cpu) > SHOWN else ""
        line += f", by the host: {sum(n for _, n in on_cpu):,} ({reasons}{more})"
    return [line]
