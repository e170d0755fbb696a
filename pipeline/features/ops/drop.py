"""drop: columns that no later op and no model sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from pipeline.device import Frame
from pipeline.features.op import Op, Rows, State
from pipeline.schema import Columns, Schema


class Drop(Op):
    """Takes columns away. Columns that the target is made of may be named; they go unused anyway.

    Example:
        >>> from pipeline.features.registry import parse_op
        >>> from pipeline.features.try_op import make_frame
        >>> schema, _ = make_frame({"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]})
        >>> parse_op({"drop": ["a", "text"]}).output_schema(schema).names
        ['c']
    """

    name: ClassVar[str] = "drop"

    columns: Columns

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) and "columns" in value else {"columns": value}

    def reads(self, schema: Schema) -> list[str]:
        """None: a dropped column need not be read."""
        return []

    def removes(self, schema: Schema) -> list[str]:
        """The selected columns."""
        return self.columns.resolve(schema)

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """No column."""
        return rows.device.make_frame({})
