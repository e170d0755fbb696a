"""What a fitted op's state must be when it is loaded: the base of each op's own model.

A state is checked in two steps. First its JSON, by the op's model and by what the op knows of its
columns without any data (`Op.prepare`). Then its tables: their columns, dtypes and keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pandas as pd
from pydantic import Field, TypeAdapter, model_validator

from pipeline.config.stored import StoredObject, check_stored, misfit_error
from pipeline.errors import InputError, PipelineError
from pipeline.features.stats.key_tables import MAX_KEYS
from pipeline.schema import Dtype, Schema

if TYPE_CHECKING:
    from pipeline.features.op import Op

Kind = Dtype | Literal["number", "key datetime"]
"""What a table's column holds; datetimes that are keys are int64."""
MAX_ROWS = 50_000_000
"""Of one table, whatever the op."""
MAX_CELLS = 250_000_000
"""Rows times columns of all tables of a plan: 2 GB of numbers."""
MAX_TEXT = 1 << 30
"""Bytes of the texts of one table."""
NUMBERS = "iufb"
"""NumPy's kinds of numbers and bools."""


class TableName(StoredObject):
    """A frame of the state, which is a file in ``tables/``."""

    name: Annotated[str, Field(alias="$table", min_length=1)]


@dataclass(frozen=True)
class Expected:
    """A table of a state: its columns in order, and those that tell its rows apart."""

    columns: Mapping[str, Kind]
    keys: Sequence[str] = ()
    rows: int = MAX_KEYS


class SavedState(StoredObject):
    """The state of an op that learns nothing."""

    aligned: ClassVar[tuple[str, ...]] = ()
    """Lists with an item per column."""
    of_columns: ClassVar[bool] = False
    """``names`` are the columns that the op reads."""

    @model_validator(mode="after")
    def _aligned(self) -> SavedState:
        if len({len(getattr(self, name)) for name in self.aligned}) > 1:
            raise ValueError(f"{' and '.join(self.aligned)} must be equally long")
        return self

    def mismatch(self, op: Any, schema: Schema) -> str:
        """Say what does not fit the op; empty where all does."""
        return ""

    def tables_expected(self, op: Any, schema: Schema) -> list[Expected]:
        """Describe the tables, in the order in which the state names them."""
        return []


def key_kind(dtype: Dtype) -> Kind:
    """Return what a key table holds of a column."""
    return {"text": "text", "datetime": "key datetime"}.get(dtype, "number")  # type: ignore[return-value]


@cache
def _adapter(model: type[SavedState]) -> TypeAdapter[SavedState]:
    return TypeAdapter(model)


def check_state(op: Op, schema: Schema, entry: Any, path: Path, place: str) -> list[Expected]:
    """Check a state as JSON, and return the tables that it must have.

    Raises:
        InputError: it is not one of this op over this schema; names file and place.
    """
    if not isinstance(entry, Mapping):
        raise misfit_error(path, place, "must be keys with values")
    try:
        found = check_stored(_adapter(op.state_model), entry, "")
    except InputError as error:
        raise _placed(error, path, place) from None
    try:
        known = {} if op.tables() else op.prepare(schema, {})
        if found.of_columns:
            known = {**known, "names": op.reads(schema)}
        for name, value in known.items():
            if repr(entry.get(name)) != repr(value):
                raise misfit_error(path, f"{place}.{name}", "is not what its op and columns give")
        if wrong := found.mismatch(op, schema):
            raise misfit_error(path, place, wrong)
        return found.tables_expected(op, schema)
    except PipelineError as error:
        if isinstance(error, InputError) and str(path) in error.message:
            raise
        raise misfit_error(path, place, error.message) from None


def _placed(error: InputError, path: Path, place: str) -> InputError:
    """Put the file and the state's place before each mistake."""
    inner = error.message.removeprefix(": ")
    joined = f"{path}: {place}.{inner}" if not error.examples else f"{path}: {place}: {inner}"
    return InputError(joined, examples=error.examples, fix=error.fix)


def check_table(frame: pd.DataFrame, expected: Expected, path: Path) -> None:
    """Check a table's columns, dtypes and keys.

    Raises:
        InputError: it is not the one that the op needs; names the file.
    """
    if list(frame.columns) != list(expected.columns):
        raise misfit_error(path, "", f"its columns must be {', '.join(expected.columns):.200}")
    for name, kind in expected.columns.items():
        if not _holds(frame[name], kind):
            raise misfit_error(path, name, f"must hold {kind}, not {frame[name].dtype}")
    if expected.keys and frame.duplicated(list(expected.keys)).any():
        raise misfit_error(path, "", "two of its rows have the same key")


def _holds(column: pd.Series, kind: Kind) -> bool:
    dtype = column.dtype
    if kind == "text":
        return isinstance(dtype, pd.StringDtype)
    if kind == "datetime":
        return dtype.kind == "M"
    if kind in ("key datetime", "int64", "int32"):
        return dtype.kind in "iu"
    if kind == "bool":
        return dtype.kind == "b"
    return dtype.kind in NUMBERS
