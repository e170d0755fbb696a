"""Garbage while a run goes on: its own is collected, what was there before is not looked at."""

from __future__ import annotations

import gc
import weakref

from pipeline.memory.release import freeze_objects, release_memory


class Node:
    """Refers to itself, as Dask's graphs do."""

    def __init__(self):
        self.own = self


def test_what_a_block_makes_is_collected_and_what_was_before_is_left():
    before, there = Node(), gc.get_freeze_count()
    older = weakref.ref(before)
    with freeze_objects():
        assert gc.get_freeze_count() > there
        newer = weakref.ref(Node())
        del before
        release_memory()
        assert newer() is None and older() is not None
    assert gc.get_freeze_count() == 0
    release_memory()
    assert older() is None
