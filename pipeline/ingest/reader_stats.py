"""Which reader read how many blocks in this process, and why the host's did: for the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from threading import Lock

_lock = Lock()
_blocks: Counter[tuple[str, str]] = Counter()
SHOWN = 5
"""Reasons that a note tells."""


def count_block(reader: str, reason: str = "") -> None:
    """One block more. ``reader`` is the device library's name, or that it had to be the host's."""
    with _lock:
        _blocks[reader, reason] += 1


def take_counts() -> dict[tuple[str, str], int]:
    """Blocks since the last call by (library, why the host read them instead: empty if not)."""
    with _lock:
        found = dict(_blocks)
        _blocks.clear()
    return found


def describe_counts(found: Iterable[Mapping[tuple[str, str], int]]) -> list[str]:
    """One line of what several processes counted; none where the device has no readers."""
    total: Counter[tuple[str, str]] = Counter()
    for one in found:
        total.update(one)
    if not total:
        return []
    library = next(iter(total))[0]
    own = sum(n for (_, reason), n in total.items() if not reason)
    why = [(reason, n) for (_, reason), n in total.most_common() if reason]
    line = f"read by {library}: {own:,} blocks"
    if why:
        told = "; ".join(f"{n:,}: {reason}" for reason, n in why[:SHOWN])
        more = "; …" if len(why) > SHOWN else ""
        line += f", by the host: {sum(n for _, n in why):,} ({told}{more})"
    return [line]
