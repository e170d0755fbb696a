"""cuDF's columns as cuDF 26.10.2 has them, over NumPy: what `pipeline/device/gpu` itself runs on here.

`arrays.py` stands for CuPy. Each method refuses what the source refuses, and its result has the dtype
and the nulls that the source gives: a mask beside values of any dtype, `to_cupy` (`Frame.to_cupy`)
that makes floats of integers with nulls and takes no dtype of pandas', `fillna` that keeps the dtype,
codes that are null where a category is missing, `isocalendar` as UInt32. A frame has what the ops ask
of one beside the functions of the device; all else is missing here, not there.
"""

import re
from csv import QUOTE_MINIMAL
from types import ModuleType

import fake_cudf
import numpy as np
import pandas as pd
import pyarrow as pa
from arrays import Array, NotOnTheDevice, Xp
from pyarrow import parquet

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
        if self.dtype == TEXT:
            return of_text(self, dtype)
        assert self.categories is None and dtype != CATEGORY, "not needed"
        to, values = np.dtype(dtype), self.values
        if to.kind == "M" and values.dtype.kind != "M":
            assert values.dtype.kind in "iu"
            values = values.astype("int64").view(to)
        elif values.dtype.kind == "M" and to.kind != "M":
            values = values.view("int64").astype(to)
        return self._made(values.astype(to), self.null, to)

    def where(self, cond, other=None):
        assert isinstance(cond, Series) and cond.dtype == bool and not cond.null.any()
        assert len(cond) == len(self), "cond must be the same length as self"
        if isinstance(other, str):
            assert self.dtype == TEXT
            return self._made(np.where(cond.values, self.values, other), self.null, TEXT)
        assert other is None
        anything = None if self.dtype == TEXT else self.values.dtype.type()
        values = np.where(cond.values, self.values, anything)
        return self._made(values, self.null | ~cond.values, self.dtype)

    def isin(self, values):
        assert self.dtype == TEXT and isinstance(values, list)
        return self._bools(pd.Series(self.values, dtype=object).isin(values).to_numpy())

    def _bools(self, values):
        return self._made(np.asarray(values, bool), np.zeros(len(self), bool), np.dtype(bool))

    def __invert__(self):
        assert self.dtype == bool and not self.null.any()
        return self._bools(~self.values)

    def __lt__(self, other):
        assert self._plain() and not self.null.any()
        return self._bools(self.values < other)

    def __le__(self, other):
        assert self._plain() and not self.null.any()
        return self._bools(self.values <= other)

    def abs(self):
        return self._made(abs(self.values), self.null, self.dtype)

    def max(self):
        return self.values[~self.null].max()

    def __getitem__(self, mask):
        at = np.flatnonzero(host_of(mask, "a mask"))
        return self._at(at, Index(Array(host_of(self.index.to_cupy(), "an index")[at])))

    def _at(self, at, index):
        taken = Series.__new__(Series)
        return taken._be(self.values[at], self.null[at], self.dtype, self.categories, index)

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
    def str(self):
        if self.dtype != TEXT:
            raise AttributeError("Can only use .str accessor with string values")
        return Strings(self)

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


def of_text(series, dtype):
    """Text as numbers, all of which must be some, or as categories, which are sorted."""
    if dtype != CATEGORY:
        to = np.dtype(dtype)
        filled = np.where(series.null, "0", series.values)
        return series._made(filled.astype("U").astype(to), series.null, to)
    known = sorted(set(series.values[~series.null]))
    place = {word: i for i, word in enumerate(known)}
    codes = np.array([place.get(word, 0) for word in series.values], "int64")
    categories = Series(pd.Index(known, dtype=TEXT))
    return Series.__new__(Series)._be(codes, series.null, CATEGORY, categories, series.index)


class Strings:
    """``Series.str`` of text without nulls."""

    def __init__(self, series):
        assert not series.null.any()
        self.series = series

    def _text(self, words):
        made = np.array([*words, None], dtype=object)[:-1]
        return self.series._made(made, self.series.null, TEXT)

    def match(self, pat):
        return self.series._bools([re.match(pat, word) is not None for word in self.series.values])

    def len(self):
        found = np.array([len(word) for word in self.series.values], "int32")
        return self.series._made(found, self.series.null, found.dtype)

    def slice(self, start=None, stop=None):
        return self._text(word[start:stop] for word in self.series.values)

    def replace(self, pat, repl, *, regex):
        assert regex is False
        return self._text(word.replace(pat, repl) for word in self.series.values)

    def ljust(self, width, fillchar):
        return self._text(word.ljust(width, fillchar) for word in self.series.values)


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

    def equals(self, other):
        mine, theirs = (host_of(i.to_cupy(), "an index") for i in (self, other))
        return self is other or np.array_equal(mine, theirs)

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
        for series in self.data.values():
            assert index or series.index.equals(self._index), "columns would be aligned"

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
        if isinstance(key, Array):
            return self._at(np.flatnonzero(key.host))
        column = self.data[key]
        own = Series.__new__(Series)
        return own._be(column.values, column.null, column.dtype, column.categories, self._index)

    def _at(self, at):
        index = Index(Array(host_of(self._index.to_cupy(), "an index")[at]))
        return DataFrame({n: s._at(at, index) for n, s in self.data.items()}, index=index)

    def head(self, n):
        return self._at(np.arange(min(n, len(self))))

    def reset_index(self, drop):
        assert drop
        return DataFrame(self.data, index=Index(range(len(self))))

    def assign(self, **columns):
        for name, column in columns.items():
            assert len(column) == len(self), name
            if isinstance(column, Series):
                assert column.index.equals(self._index), f"{name} would be aligned"
        return DataFrame({**self.data, **columns}, index=self._index)

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


def to_datetime(words, format):
    made = pd.to_datetime(pd.Series(words.values), format=format).to_numpy()
    return words._made(made.astype("datetime64[us]"), words.null, np.dtype("datetime64[us]"))


def read_parquet(path, *, columns, row_groups, use_pandas_metadata, dataset_kwargs):
    """One file's row groups in libcudf's types: nulls beside any of them."""
    assert (use_pandas_metadata, dataset_kwargs) == (False, {"partitioning": None})
    table = parquet.ParquetFile(path).read_row_groups(row_groups, columns=columns)
    return DataFrame({n: _of_arrow(table[n]) for n in table.column_names})


def _of_arrow(column):
    null = np.asarray(column.is_null())
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return Series(column.to_pandas().astype(TEXT))
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp(column.type.unit))
    zero = pa.scalar(0).cast(pa.int64() if pa.types.is_timestamp(column.type) else column.type)
    values = column.cast(zero.type) if pa.types.is_timestamp(column.type) else column
    values = values.fill_null(zero).to_numpy()
    if pa.types.is_timestamp(column.type):
        values = values.view(f"datetime64[{column.type.unit}]")
    return Series.__new__(Series)._be(values, null, values.dtype)


def read_csv(source, *, names, usecols, sep, quotechar, quoting, **_):
    """Fields of records as `fake_cudf` reads them."""
    quote = quotechar if quoting == QUOTE_MINIMAL else None
    used = [int(name) for name in usecols]
    found = fake_cudf.Reading().csv_fields(source.getvalue(), len(names), used, sep, quote)
    return DataFrame({name: Series(found[name]) for name in found})


def modules():
    """``cudf`` and ``cupy`` to import, by name."""
    cudf, cupy, xp = ModuleType("cudf"), ModuleType("cupy"), Xp()
    own = (Series, Index, CategoricalIndex, DataFrame, concat, to_datetime, read_parquet, read_csv)
    for made in own:
        setattr(cudf, made.__name__, made)
    cupy.__getattr__ = lambda name: getattr(xp, name)
    cupy.ndarray, cupy.asnumpy = Array, lambda a: host_of(a, "cupy.asnumpy").copy()
    return {"cudf": cudf, "cupy": cupy}
