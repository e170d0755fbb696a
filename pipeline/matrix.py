"""What is predicted and what models train on: the target, and float32 matrices by set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple, Protocol

from pipeline.device import Array, Frames, Series

Task = Literal["binary", "multiclass", "regression"]
SetName = Literal["train", "valid", "test"]


class Matrix(NamedTuple):
    """The rows of one set in one partition; arrays of the device."""

    x: Array
    """float32 (n, k), C-ordered: missing numbers are NaN, categories as in `zero_missing_codes`."""
    label: Array | None
    """float64 (n,): 0/1, 0…k-1 or the value; None for new data."""
    weight: Array | None
    """float64 (n,) or None."""
    ids: Array
    """int64 (n,): row ids."""


def take_rows(matrix: Matrix, at: Array) -> Matrix:
    """The matrix's rows at these positions."""
    return Matrix(*(None if column is None else column[at] for column in matrix))


def concatenate_matrices(parts: Iterable[Matrix], xp: ModuleType) -> Matrix:
    """The rows of all parts, one part below the other; at least one part."""
    columns = zip(*parts, strict=True)
    return Matrix(*(None if c[0] is None else xp.concatenate(c) for c in columns))


@dataclass(frozen=True)
class Feature:
    """A column of the matrix."""

    name: str
    kind: Literal["q", "int", "c"]
    """XGBoost's feature type: quantity, integer, or category code."""
    size: int | None = None
    """Number of codes of a category, if known."""


def zero_missing_codes(codes: Series, device: Frames) -> Series:
    """A column of category codes, one higher and 0 where they are missing.

    Models then never see NaN in a category: one such column would make XGBoost store the bins of
    all columns in 4 bytes instead of 1, and train a quarter longer (docs/benchmarks.md).
    """
    values = device.to_floats(codes)
    return device.make_series(device.xp.where(device.xp.isnan(values), 0, values + 1), "float64")


@dataclass(frozen=True)
class Target:
    """What is predicted."""

    task: Task
    classes: tuple[Any, ...] = ()
    """Class values in label order (str, int, float or bool); the binary positive is classes[1]."""

    def __str__(self) -> str:
        """The task with up to ten classes: ``binary (no, yes)``."""
        named = ", ".join([*map(str, self.classes[:10]), *("…" for _ in self.classes[10:11])])
        return f"{self.task} ({named})" if named else self.task


class Feed(Protocol):
    """The matrices of a run. Every pass gives the same matrices in the same order."""

    @property
    def features(self) -> Sequence[Feature]:
        """The matrices' columns, in order."""

    @property
    def target(self) -> Target:
        """What is predicted."""

    @property
    def device(self) -> str:
        """ "cpu" or "gpu": whose arrays the matrices are."""

    def blocks(self, which: SetName) -> Iterator[Matrix]:
        """The set's matrices, one a partition, without empty ones."""

    def count_rows(self, which: SetName) -> int:
        """How many rows the set has."""
