"""A `Frames` that computes on the CPU and is as strict as the GPU about what it is given.

The functions of a device are device-specific by definition; around them every series and frame is a
`conformance.Proxy` and every array an `arrays.Array`. Handing one of them a host value where it
takes the device's, or the reverse, raises.
"""

import numpy as np
import pandas as pd
from arrays import Array, NotOnTheDevice, Xp
from conformance import Lib, Proxy, unwrap, wrap

from pipeline.device import cpu


class ConformingDevice:
    """What ops get as ``rows.device`` while they are checked."""

    name = "cpu"

    def __init__(self, findings):
        self.findings, self.lib, self.xp = findings, Lib(findings), Xp()

    # -- what comes in and goes out ---------------------------------------------------------------

    def _frame(self, value):
        if not isinstance(value, Proxy):
            raise NotOnTheDevice(f"a series or frame of the device is wanted, not {type(value)}")
        return unwrap(value)

    def _array(self, value):
        if not isinstance(value, Array):
            raise NotOnTheDevice(f"an array of the device is wanted, not {type(value)}")
        return value.host

    def _host(self, value):
        if isinstance(value, Proxy | Array):
            raise NotOnTheDevice(f"a host value is wanted, not {value!r}")
        return value

    def _out(self, value):
        return Array(value) if isinstance(value, np.ndarray) else wrap(value, self.findings)

    # -- `pipeline.device.Frames`, in its order ---------------------------------------------------

    def empty(self, columns):
        return self._out(cpu.empty(columns))

    def series(self, values, dtype, missing=None):
        mask = None if missing is None else self._array(missing)
        return self._out(cpu.series(self._array(values), dtype, mask))

    def text(self, codes, values):
        return self._out(cpu.text(self._array(codes), self._host(values)))

    def frame(self, columns):
        return self._out(cpu.frame({n: self._frame(s) for n, s in columns.items()}))

    def numbered(self, columns, ids):
        frames = {n: self._frame(s) for n, s in columns.items()}
        return self._out(cpu.numbered(frames, self._array(ids)))

    def ids(self, frame):
        return self._out(cpu.ids(self._frame(frame)))

    def concat(self, frames):
        return self._out(cpu.concat([self._frame(f) for f in frames]))

    def packed(self, frame):
        return self._out(cpu.packed(self._frame(frame)))

    def unpacked(self, series):
        return self._out(cpu.unpacked(self._frame(series)))

    def arrays(self, series):
        values, missing = cpu.arrays(self._frame(series))
        return Array(values), Array(missing)

    def floats(self, series):
        return Array(cpu.floats(self._frame(series)))

    def codes(self, series):
        codes, values = cpu.codes(self._frame(series))
        return Array(codes), values

    def distinct(self, series):
        codes, values = cpu.distinct(self._frame(series))
        return Array(codes), Array(values)

    def positions(self, series, keys, of=None):
        return Array(cpu.positions(self._frame(series), self._host(keys), of))

    def kept(self, table, name, make):
        return self.to_device(self._host(make()))

    def release(self):
        cpu.release()

    def bincount(self, codes, length, weights=None):
        of = None if weights is None else self._array(weights)
        return cpu.bincount(self._array(codes), length, of)

    def hash_ints(self, values, seed):
        return Array(cpu.hash_ints(self._array(values), seed))

    def hash_values(self, series, seed):
        return Array(cpu.hash_values(self._frame(series), seed))

    def reading(self):
        return cpu.reading()

    def trouble(self, error):
        return cpu.trouble(error)

    def external_memory(self):
        return cpu.external_memory()

    def meter(self):
        return cpu.meter()

    def to_host(self, value):
        if not isinstance(value, Proxy | Array):
            raise NotOnTheDevice(f"{type(value)} is on the host already")
        return unwrap(value)

    def to_device(self, value):
        return self._out(self._host(value))

    def multiset(self, values):
        return cpu.multiset(self._array(values))

    def matrix(self, frame, names, rows=None):
        return Array(cpu.matrix(self._frame(frame), names, None if rows is None else unwrap(rows)))


def assert_on_the_host(value, where="the summary"):
    """No value of the device is hidden in it."""
    assert not isinstance(value, Proxy | Array), f"{where} holds {value!r}"
    if isinstance(value, dict):
        for key, inner in value.items():
            assert_on_the_host(inner, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            assert_on_the_host(inner, f"{where}[{i}]")
    elif isinstance(value, pd.DataFrame):
        for name in value.columns:
            if value[name].dtype == object:
                assert not any(isinstance(v, Proxy | Array) for v in value[name]), f"{where}.{name}"
