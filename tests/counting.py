"""The CPU's functions, counting what would pass over the bus if they were the GPU's.

Mirrors `pipeline.device.gpu.frames`: the same functions count, by the same sizes, so that a run on a
CPU shows which copies it would make. Files are read by the stand-in for cuDF's readers.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import ModuleType

import fake_cudf
import numpy as np
import pandas as pd

from pipeline.device import cpu, dtype_of
from pipeline.device.choose import frames_of
from pipeline.device.table_cache import TableCache


def text_bytes(values):
    return sum(len(str(v).encode("utf-8", "surrogatepass")) for v in values)


class Reading(fake_cudf.Reading):
    def __init__(self, device):
        super().__init__()
        self.device = device

    def _count(self, size):
        super()._count(size)
        self.device.count("h2d", size, "files")
        self.device.moved["h2d_files"] += size


class Counting(ModuleType):
    """A stand-in for a device's module; `by` has the bytes by way and caller's place."""

    def __init__(self):
        super().__init__("counting")
        for name in dir(cpu):
            if not name.startswith("__") and name not in vars(type(self)):
                setattr(self, name, getattr(cpu, name))
        self.moved, self.by, self.constants = Counter(), Counter(), TableCache()
        self.own_reading = Reading(self)

    def count(self, way, size, what=""):
        frame = sys._getframe(1)
        while "counting" in frame.f_code.co_filename or "fake_cudf" in frame.f_code.co_filename:
            frame = frame.f_back
        place = f"{frame.f_code.co_filename.rsplit('pipeline/', 1)[-1]}:{frame.f_lineno}"
        self.by[way, what, place] += int(size)
        self.moved[way] += int(size)

    def most(self, shown=12):
        """The most bytes, by the place in the code that moved them."""
        found = self.by.most_common(shown)
        return "\n".join(f"{size:>12,} {' '.join(place)}" for place, size in found)

    def file_readers(self):
        return self.own_reading

    def read_meter(self):
        found = {way: self.moved[way] for way in ("h2d", "h2d_files", "d2h")}
        self.moved.clear()
        return {**found, "peak_device": 0}

    # -- as in gpu/frames.py ----------------------------------------------------------------------
    def empty_frame(self, columns):
        return self.to_device(cpu.empty_frame(columns))

    def make_text(self, codes, values):
        self.count("h2d", text_bytes(values), "words")
        return cpu.make_text(codes, values)

    def to_codes(self, series):
        codes, values = cpu.to_codes(series)
        size = text_bytes(values) if dtype_of(series) == "text" else values.nbytes
        self.count("d2h", size, "distinct values")
        return codes, values

    def cache_array(self, table, name, make):
        return self.constants.get(table, name, lambda: self.to_device(make()))

    def find_positions(self, series, keys, of=None):
        def moved():
            text = dtype_of(series) == "text"
            self.count("h2d", text_bytes(keys) if text else 16 * len(keys), "keys")

        if of is None:
            moved()
        else:
            self.constants.get(of[0], f"{dtype_of(series)} of {of[1]}", moved)
        return cpu.find_positions(series, keys)

    def bincount(self, codes, length, weights=None):
        found = cpu.bincount(codes, length, weights)
        self.count("d2h", found.nbytes if weights is not None else 4 * length, "bincount")
        return found

    def hash_values(self, series, seed):
        if dtype_of(series) == "text":
            self.to_codes(series)
            self.count("h2d", 8 * (len(series.cat.categories) + 1), "hashes")
        return cpu.hash_values(series, seed)

    def to_host(self, value):
        self.count("d2h", self._size(value), "to_host")
        return value

    def to_device(self, value):
        self.count("h2d", self._size(value), "to_device")
        return value

    def to_host_unordered(self, values):
        known, counts = np.unique(values, return_counts=True)
        once = len(known) * (known.itemsize + 4)
        self.count("d2h", min(once, values.nbytes), "multiset")
        return values if once >= values.nbytes else np.repeat(known, counts)

    def _size(self, value):
        if isinstance(value, np.ndarray | np.generic):
            return value.nbytes
        if isinstance(value, pd.Series):
            value = value.to_frame()
        return 8 * len(value) + sum(self._column_size(value[n]) for n in value.columns)

    def _column_size(self, series):
        if dtype_of(series) == "text":
            return 4 * len(series) + text_bytes(series.cat.categories)
        return sum(a.nbytes for a in cpu.to_arrays(series))


def installed(monkeypatch):
    """Runs on the CPU count from here on."""
    device = Counting()
    monkeypatch.setitem(sys.modules, "pipeline.device.cpu", device)
    frames_of.cache_clear()
    return device
