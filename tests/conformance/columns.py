"""cuDF's columns as cuDF 26.10.2 has them, over NumPy: what `pipeline/device/gpu` itself runs on here.

`arrays.py` stands for CuPy. Each method refuses what the source refuses, and its result has the dtype
and the nulls that the source gives: a mask beside values of any dtype, `to_cupy` (`Frame.to_cupy`)
that makes floats of integers with nulls and takes no dtype of pandas', `fillna` that keeps the dtype,
codes that are null where a category is missing, `isocalendar` as UInt32. A frame has what the ops ask
of one beside the functions of the device; all else is missing here, not there.
"""

from types import ModuleType

import numpy as np
import pandas as pd
from arrays import Array, NotOnTheDevice, Xp

from pipeline.device import cpu

CATEGORY = "category"
TEXT = pd.StringDtype(na_value=np.nan)
"""cuDF's `DEFAULT_STRING_DTYPE`."""


def host_of(value, what):
    """The NumPy array of a CuPy one; nothing else has a ``__cuda_array_interface__``."""
    if not isinstance(value, Array):
        raise NotOnTheDevice(f"{what} takes a CuPy array, not {type(value)}")
    return value.host


class Series:
    """``cudf.Series``: values, a mask (True is null), a dtype, and categories where it has some."""

    def __init__(self, data, nan_as_null=True):
        if isinstance(data, Series | Index):
            own = data if isinstance(data, Series) else data.column
            self._be(own.values, own.null, own.dtype, own.categories)
        elif isinstance(data, pd.Series | pd.Index) and isinstance(data.dtype, pd.StringDtype):
            self._be(np.array(data, dtype=object), np.array(data.isna()), TEXT)
        else:
            values = host_of(data, "cudf.Series")
            assert values.ndim == 1 and values.dtype.kind in "biuf", values.dtype
            nan = values.dtype.kind == "f" and nan_as_null
            null = np.isnan(values) if nan else np.zeros(len(values), bool)
            self._be(np.ascontiguousarray(values), null, values.dtype)

    def _be(self, values, null, dtype, categories=None, index=None):
        self.values, self.null, self.dtype = values, null, dtype
        self.categories, self.index = categories, index or Index(range(len(values)))
        return self

    def _made(self, values, null, dtype):
        return Series.__new__(Series)._be(values, null, dtype, index=self.index)

    def __len__(self):
        return len(self.values)

    def _plain(self):
        if not isinstance(self.dtype, np.dtype):
            raise TypeError(f"Cannot interpret '{self.dtype!r}' as a data type")  # `cupy.can_cast`
        return self.dtype.kind in "biuf"

    def to_cupy(self):
        if not self._plain():
            raise NotImplementedError(f"CuPy does not support {self.dtype}")
        if not self.null.any():
            return Array(self.values)
        if self.dtype.kind == "b":
            raise ValueError("Column must have no nulls for dtype=bool")
        return Array(np.where(self.null, np.nan, self.values.astype("float64")))

    def isna(self):
        nan = self.null if self.values.dtype.kind != "f" else self.null | np.isnan(self.values)
        return self._made(nan, np.zeros(len(self), bool), np.dtype(bool))

    def fillna(self, value):
        assert self.categories is None and self.dtype != TEXT, "not needed"
        if self.dtype.kind != "f" and np.asarray(value).dtype.kind == "f":
            raise TypeError(f"Cannot safely cast {value!r} to {self.dtype}")
        missing = self.isna().values
        filled = np.where(missing, np.asarray(value, self.values.dtype), self.values)
        return self._made(filled, np.zeros(len(self), bool), self.dtype)

    def astype(self, dtype):
        if dtype == CATEGORY or self.categories is not None or self.dtype == TEXT:
            raise NotImplementedError("not needed")
        to, values = np.dtype(dtype), self.values
        if to.kind == "M" and values.dtype.kind != "M":
            assert values.dtype.kind in "iu"
            values = values.astype("int64").view(to)
        elif values.dtype.kind == "M" and to.kind != "M":
            values = values.view("int64").astype(to)
        return self._made(values.astype(to), self.null, to)

    def where(self, cond):
        assert isinstance(cond, Series) and cond.dtype == bool and not cond.null.any()
        assert len(cond) == len(self), "cond must be the same length as self"
        made = self._made(self.values, self.null | ~cond.values, self.dtype)
        made.values = np.where(cond.values, self.values, self.values.dtype.type())  # anything
        return made

    def hash_values(self, method, seed):
        assert method == "murmur3" and self.dtype == np.dtype("int64") and not self.null.any()
        return self._made(
            cpu.hash_ints(self.values, seed).astype("uint32"), self.null, np.dtype("uint32")
        )

    @property
    def cat(self):
        if self.categories is None:
            raise AttributeError("Can only use .cat accessor with a 'category' dtype")
        return Categories(self)

    @property
    def dt(self):
        if self.values.dtype.kind != "M":
            raise AttributeError("Can only use .dt accessor with datetimelike values")
        return Times(self)

    def reset_index(self, drop):
        assert drop
        return Series.__new__(Series)._be(self.values, self.null, self.dtype, self.categories)


class Categories:
    """``Series.cat``: codes of pandas' signed dtype, null where the category is missing."""

    def __init__(self, series):
        self.series, self.categories = series, Index(series.categories)

    @property
    def codes(self):
        return self.series._made(
            self.series.values.astype("int8" if len(self.categories) < 127 else "int32"),
            self.series.null, np.dtype("int8" if len(self.categories) < 127 else "int32"),
        )  # fmt: skip


class Times:
    """``Series.dt``: int16 or int32 parts, null where the time is; zones by pandas."""

    def __init__(self, series, aware=None):
        self.series = series
        self.aware = pd.Series(series.values).mask(series.null) if aware is None else aware

    def _part(self, found, dtype):
        null = found.isna().to_numpy()
        values = found.fillna(0).to_numpy().astype(getattr(dtype, "numpy_dtype", dtype))
        return self.series._made(values, null, dtype)

    def __getattr__(self, name):
        known = ("year", "month", "day", "hour", "minute", "second", "dayofweek", "dayofyear",
                 "quarter", "days_in_month")  # fmt: skip
        if name not in known:
            raise AttributeError(f"cuDF's .dt has no {name} here")
        return self._part(getattr(self.aware.dt, name), np.dtype("int16"))

    def isocalendar(self):
        found = self.aware.dt.isocalendar()
        return {n: self._part(found[n], pd.UInt32Dtype()) for n in found}

    def tz_localize(self, tz, ambiguous="NaT", nonexistent="NaT"):
        assert (ambiguous, nonexistent) == ("NaT", "NaT")
        return Zoned(self.series, self.aware.dt.tz_localize(tz))

    def tz_convert(self, tz):
        return Zoned(self.series, self.aware.dt.tz_convert(tz))


class Zoned(Series):
    """A column of times with a zone, or of local ones."""

    def __init__(self, series, aware):
        plain = aware.dt.tz_localize(None)
        values = plain.to_numpy().astype("datetime64[us]")
        null = plain.isna().to_numpy()
        self._be(np.where(null, values.dtype.type(0, "us"), values), null, values.dtype)
        self.aware = aware

    @property
    def dt(self):
        return Times(self, self.aware)


class Index:
    """``cudf.Index``."""

    def __init__(self, data):
        if isinstance(data, range):
            self.range, self.column = data, None
        else:
            self.range, self.column = None, Series(data)

    def __len__(self):
        return len(self.range if self.column is None else self.column)

    def to_cupy(self):
        return (
            Array(np.array(self.range, "int64")) if self.column is None else self.column.to_cupy()
        )

    def to_pandas(self):
        if self.column is None:
            return pd.RangeIndex(self.range.start, self.range.stop)
        kind = TEXT if self.column.dtype == TEXT else self.column.dtype
        return pd.Index(self.column.values, dtype=kind)


class CategoricalIndex(Index):
    """``cudf.CategoricalIndex``."""

    @classmethod
    def from_codes(cls, codes, categories, ordered):
        assert isinstance(codes, Series) and isinstance(categories, Index) and ordered is False
        assert categories.column.dtype == TEXT
        made = cls.__new__(cls)
        narrow = np.where(codes.null, 0, codes.values).astype("int64")
        column = Series.__new__(Series)._be(narrow, codes.null, CATEGORY, categories.column)
        made.range, made.column = None, column
        return made


class DataFrame:
    """``cudf.DataFrame``: columns of one length."""

    def __init__(self, data=None, index=None):
        self.data = {n: s if isinstance(s, Series) else Series(s) for n, s in (data or {}).items()}
        lengths = {len(s) for s in self.data.values()}
        assert len(lengths) <= 1, lengths
        first = next(iter(self.data.values()), None)
        self._index = index or (first.index if first is not None else Index(range(0)))

    @property
    def index(self):
        return self._index

    @index.setter
    def index(self, value):
        if self.data and len(value) != len(self):
            raise ValueError("Length mismatch")
        self._index = value

    @property
    def columns(self):
        return pd.Index(list(self.data))

    def __len__(self):
        return len(self._index)

    def __getitem__(self, key):
        if isinstance(key, list):
            return DataFrame({n: self.data[n] for n in key}, index=self._index)
        column = self.data[key]
        own = Series.__new__(Series)
        return own._be(column.values, column.null, column.dtype, column.categories, self._index)

    def merge(self, other, on, how):
        """An inner join in no order that one may rely on."""
        assert how == "inner"
        left, right = (
            pd.DataFrame({n: s.values for n, s in f.data.items()}) for f in (self, other)
        )
        both = left.merge(right, on=on).iloc[::-1]
        return DataFrame({n: Series(Array(both[n].to_numpy())) for n in both if n != on})


def concat(objs):
    raise NotImplementedError("not needed: libcudf unites the categories")


def modules():
    """``cudf`` and ``cupy`` to import, by name."""
    cudf, cupy, xp = ModuleType("cudf"), ModuleType("cupy"), Xp()
    for made in (Series, Index, CategoricalIndex, DataFrame, concat):
        setattr(cudf, made.__name__, made)
    cupy.__getattr__ = lambda name: getattr(xp, name)
    cupy.ndarray, cupy.asnumpy = Array, lambda a: host_of(a, "cupy.asnumpy").copy()
    return {"cudf": cudf, "cupy": cupy}
