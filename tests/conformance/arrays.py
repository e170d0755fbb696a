"""NumPy arrays that answer as CuPy 14 would: nothing of the host mixes in, nothing is converted.

CuPy refuses NumPy arrays among its arguments and any implicit way to the host, gives 0-d arrays
where NumPy gives scalars, and lacks some functions (`cupy-14.2-manifest.json`, names and parameters
dumped by `manifest.py`).
"""

import json
from pathlib import Path

import numpy as np

MANIFEST = json.loads(Path(__file__).with_name("cupy-14.2-manifest.json").read_text())
FROM_HOST = {"asarray", "array"}


class NotOnTheDevice(TypeError):
    """A host array where CuPy wants its own, or the reverse."""


def to_numpy(value, what="an operation"):
    """The NumPy value of an argument that CuPy would accept."""
    if isinstance(value, Array):
        return value.host
    if isinstance(value, np.ndarray):
        raise NotOnTheDevice(f"{what} of CuPy got a NumPy array")
    if isinstance(value, list | tuple):
        return type(value)(to_numpy(v, what) for v in value)
    return value


def to_array(value):
    """A result of NumPy as CuPy would give it: scalars are 0-d arrays."""
    if isinstance(value, np.ndarray | np.generic):
        return Array(np.asarray(value))
    if isinstance(value, list | tuple):
        return type(value)(to_array(v) for v in value)
    return value


def call(function, name, args, kw):
    """Calls a NumPy function as CuPy's of this name."""
    parameters = MANIFEST["functions"].get(name)
    if parameters and (unknown := set(kw) - set(parameters)):
        raise NotOnTheDevice(f"cupy.{name} has no parameter {min(unknown)!r}")
    if name not in FROM_HOST:
        args, kw = [to_numpy(a, name) for a in args], {k: to_numpy(v, name) for k, v in kw.items()}
    else:
        args = [a.host if isinstance(a, Array) else a for a in args]
    return to_array(function(*args, **kw))


class Array(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands for a `cupy.ndarray`."""

    def __init__(self, host):
        object.__setattr__(self, "host", host)

    def __array__(self, *_, **__):
        raise NotOnTheDevice("CuPy does not convert to NumPy implicitly: use device.to_host")

    def __array_ufunc__(self, ufunc, method, *inputs, **kw):
        return call(getattr(ufunc, method), ufunc.__name__, inputs, kw)

    def __array_function__(self, function, types, args, kw):
        if function.__name__ not in MANIFEST["functions"]:
            raise NotOnTheDevice(f"CuPy has no {function.__name__}")
        return call(function, function.__name__, args, kw)

    def __getattr__(self, name):
        if name not in MANIFEST["methods"]:
            raise AttributeError(f"a CuPy array has no {name}")
        member = getattr(self.host, name)
        if not callable(member):
            return to_array(member) if isinstance(member, np.ndarray) else member
        if name in ("item", "tolist"):
            return member
        return lambda *args, **kw: call(member, f"ndarray.{name}", args, kw)

    def __setattr__(self, name, value):
        setattr(self.host, name, value)

    def __getitem__(self, key):
        return to_array(self.host[to_numpy(key, "an index")])

    def __setitem__(self, key, value):
        self.host[to_numpy(key, "an index")] = to_numpy(value, "an assignment")

    def __len__(self):
        return len(self.host)

    def __iter__(self):
        raise NotOnTheDevice("iterating over a CuPy array asks the GPU for each element")

    def __bool__(self):
        return bool(self.host)

    def __int__(self):
        return int(self.host)

    def __index__(self):
        return int(self.host)

    def __float__(self):
        return float(self.host)

    def __repr__(self):
        return f"Array<{self.host!r}>"


class Xp:
    """Stands for the module `cupy`."""

    def __getattr__(self, name):
        if name not in MANIFEST["functions"]:
            raise AttributeError(f"CuPy has no {name}")
        member = getattr(np, name)
        if isinstance(member, type) or not callable(member):
            return member
        return lambda *args, **kw: call(member, name, args, kw)
