"""Checks of fitted state that is loaded from a run folder, and the base of each op's state model.

A state is checked in two steps. The JSON is checked first: by the op's model, and against what the
op derives from its columns without any data (`Op.prepare`). The tables follow: their columns,
dtypes and keys.
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

Content = Dtype | Literal["number", "key datetime"]
"""Content of a table's column; datetimes that are keys are stored as int64."""
MAX_ROWS = 50_000_000
"""Most rows of one table, whatever the op."""
MAX_CELLS = 250_000_000
"""Most values (rows times columns) of all tables of a plan: 2 GB of numbers."""
MAX_TEXT = 1 << 30
"""Most bytes of text in one table."""
NUMBERS = "iufb"
"""NumPy's kinds of numbers and bools."""


class TableName(StoredObject):
    """A frame of the state, which is a file in ``tables/``."""

    name: Annotated[str, Field(alias="$table", min_length=1)]


@dataclass(frozen=True)
class ExpectedTable:
    """A table of a state: its columns in order, and those whose values identify a row."""

    columns: Mapping[str, Content]
    keys: Sequence[str] = ()
    rows: int = MAX_KEYS


class SavedState(StoredObject):
    """State of an op that learns nothing; fitted ops have a model of their own.

    Where ``column_lists`` include ``names``, these are the columns that the op reads.
    """

    column_lists: ClassVar[tuple[str, ...]] = ()
    """Lists with an item per column."""

    @model_validator(mode="after")
    def _equally_long(self) -> SavedState:
        if len({len(getattr(self, name)) for name in self.column_lists}) > 1:
            raise ValueError(f"{' and '.join(self.column_lists)} must be equally long")
        return self

    def find_mismatch(self, op: Any, schema: Schema) -> str:
        """Describe what does not fit the op; empty if everything fits."""
        return ""

    def describe_tables(self, op: Any, schema: Schema) -> list[ExpectedTable]:
        """Describe the expected tables, in the order in which the state names them."""
        return []


def key_content(dtype: Dtype) -> Content:
    """Return the content of a key table's column for a column of the data."""
    if dtype == "text":
        return "text"
    return "key datetime" if dtype == "datetime" else "number"


@cache
def _adapter(model: type[SavedState]) -> TypeAdapter[SavedState]:
    return TypeAdapter(model)


def check_state(op: Op, schema: Schema, entry: Any, path: Path, place: str) -> list[ExpectedTable]:
    """Check a state as JSON, and return the tables that it must have.

    Raises:
        InputError: the state is not one of this op over this schema; names file and place.
    """
    if not isinstance(entry, Mapping):
        raise misfit_error(path, place, "must be keys with values")
    try:
        state = check_stored(_adapter(op.state_model), entry, "")
    except InputError as error:
        # Checked without a path: the file and the state's place go before each mistake.
        inner = error.message.removeprefix(": ")
        joined = f"{path}: {place}: {inner}" if error.examples else f"{path}: {place}.{inner}"
        raise InputError(joined, examples=error.examples, fix=error.fix) from None
    try:
        # A join's `prepare` needs the side table, which scoring does not have.
        expected = {} if op.tables() else dict(op.prepare(schema, {}))
        if "names" in state.column_lists:
            expected["names"] = op.reads(schema)
        for name, value in expected.items():
            if repr(entry.get(name)) != repr(value):
                raise misfit_error(path, f"{place}.{name}", "is not what its op and columns give")
        if mismatch := state.find_mismatch(op, schema):
            raise misfit_error(path, place, mismatch)
        return state.describe_tables(op, schema)
    except PipelineError as error:
        if isinstance(error, InputError) and str(path) in error.message:
            raise
        raise misfit_error(path, place, error.message) from None


def check_table(frame: pd.DataFrame, expected: ExpectedTable, path: Path) -> None:
    """Check a table's columns, dtypes and keys.

    Raises:
        InputError: it is not the table that the op needs; names the file.
    """
    if list(frame.columns) != list(expected.columns):
        raise misfit_error(path, "", f"its columns must be {', '.join(expected.columns):.200}")
    for name, content in expected.columns.items():
        if not _can_hold(frame[name], content):
            raise misfit_error(path, name, f"must hold {content}, not {frame[name].dtype}")
    if expected.keys and frame.duplicated(list(expected.keys)).any():
        raise misfit_error(path, "", "two of its rows have the same key")


def _can_hold(column: pd.Series, content: Content) -> bool:
    dtype = column.dtype
    if content == "text":
        return isinstance(dtype, pd.StringDtype)
    if content == "datetime":
        return dtype.kind == "M"
    if content in ("key datetime", "int64", "int32"):
        return dtype.kind in "iu"
    if content == "bool":
        return dtype.kind == "b"
    return dtype.kind in NUMBERS
