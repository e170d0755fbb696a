"""The matrices that models train on: float32 features, labels, weights and ids of a set's rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple, Protocol

from pipeline.device import Array, Frames, Series

Task = Literal["binary", "multiclass", "regression"]
SetName = Literal["train", "valid", "test"]


class Matrix(NamedTuple):
    """The rows of one set in one partition, as arrays of the device."""

    x: Array
    """float32 (n, k), C-ordered: missing numbers are NaN, categories as in `zero_missing_codes`."""
    label: Array | None
    """float64 (n,): 0/1, 0…k-1 or the value; None for new data."""
    weight: Array | None
    """float64 (n,) or None."""
    ids: Array
    """int64 (n,): row ids."""


def take_rows(matrix: Matrix, positions: Array) -> Matrix:
    """Return the matrix's rows at these positions."""
    # NumPy's `take` of rows is four times faster than indexing.
    return Matrix(*(None if c is None else c.take(positions, axis=0) for c in matrix))


def concatenate_matrices(parts: Iterable[Matrix], xp: ModuleType) -> Matrix:
    """Stack the rows of at least one matrix, in order; a single one is not copied."""
    first, *others = parts
    if not others:
        return first
    columns = zip(first, *others, strict=True)
    return Matrix(*(None if c[0] is None else xp.concatenate(c) for c in columns))


@dataclass(frozen=True)
class Feature:
    """A column of the matrix."""

    name: str
    kind: Literal["q", "int", "c"]
    """XGBoost's feature type: quantity, integer, or category code."""
    size: int | None = None
    """Number of codes of a category; None: unknown, or the column is not a category."""


def zero_missing_codes(codes: Series, device: Frames) -> Series:
    """Shift category codes up by one, so that 0 stands for a missing value."""
    values = device.to_floats(codes)
    # One NaN in a category would make XGBoost store the bins of all columns in 4 bytes instead
    # of 1, and train a quarter longer (docs/benchmarks.md).
    return device.make_series(device.xp.where(device.xp.isnan(values), 0, values + 1), "float64")


@dataclass(frozen=True)
class Target:
    """The task and the classes of what is predicted."""

    task: Task
    classes: tuple[Any, ...] = ()
    """Class values (str, int, float or bool) in label order; the binary positive is classes[1]."""

    def __str__(self) -> str:
        """Return the task with up to ten classes: ``binary (no, yes)``."""
        names = ", ".join([*map(str, self.classes[:10]), *("…" for _ in self.classes[10:11])])
        return f"{self.task} ({names})" if names else self.task


class Feed(Protocol):
    """The matrices of a run; every pass yields the same matrices in the same order."""

    @property
    def features(self) -> Sequence[Feature]:
        """The matrices' columns, in order."""

    @property
    def target(self) -> Target:
        """The task and the classes."""

    @property
    def device(self) -> str:
        """The device whose arrays the matrices are: "cpu" or "gpu"."""

    def blocks(self, which: SetName) -> Iterator[Matrix]:
        """Yield the set's matrices, one per partition, without empty ones."""

    def count_rows(self, which: SetName) -> int:
        """Count the rows of the set."""
