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

    def empty_frame(self, columns):
        return self._out(cpu.empty_frame(columns))

    def make_series(self, values, dtype, missing=None):
        mask = None if missing is None else self._array(missing)
        return self._out(cpu.make_series(self._array(values), dtype, mask))

    def make_text(self, codes, values):
        return self._out(cpu.make_text(self._array(codes), self._host(values)))

    def make_frame(self, columns):
        return self._out(cpu.make_frame({n: self._frame(s) for n, s in columns.items()}))

    def frame_with_ids(self, columns, ids):
        frames = {n: self._frame(s) for n, s in columns.items()}
        return self._out(cpu.frame_with_ids(frames, self._array(ids)))

    def row_ids(self, frame):
        return self._out(cpu.row_ids(self._frame(frame)))

    def concat(self, frames):
        return self._out(cpu.concat([self._frame(f) for f in frames]))

    def pack_integers(self, frame):
        return self._out(cpu.pack_integers(self._frame(frame)))

    def unpack_integers(self, series):
        return self._out(cpu.unpack_integers(self._frame(series)))

    def to_arrays(self, series):
        values, missing = cpu.to_arrays(self._frame(series))
        return Array(values), Array(missing)

    def to_floats(self, series):
        return Array(cpu.to_floats(self._frame(series)))

    def to_codes(self, series):
        codes, values = cpu.to_codes(self._frame(series))
        return Array(codes), values

    def to_device_codes(self, series):
        codes, values = cpu.to_device_codes(self._frame(series))
        return Array(codes), Array(values)

    def find_positions(self, series, keys, of=None):
        return Array(cpu.find_positions(self._frame(series), self._host(keys), of))

    def cache_array(self, table, name, make):
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

    def file_readers(self):
        return cpu.file_readers()

    def translate_error(self, error):
        return cpu.translate_error(error)

    def external_memory(self):
        return cpu.external_memory()

    def read_meter(self):
        return cpu.read_meter()

    def to_host(self, value):
        if not isinstance(value, Proxy | Array):
            raise NotOnTheDevice(f"{type(value)} is on the host already")
        return unwrap(value)

    def to_device(self, value):
        return self._out(self._host(value))

    def to_host_unordered(self, values):
        return cpu.to_host_unordered(self._array(values))

    def to_matrix(self, frame, names, rows=None):
        return Array(
            cpu.to_matrix(self._frame(frame), names, None if rows is None else unwrap(rows))
        )


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
