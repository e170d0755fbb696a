"""keep: only these columns go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from pipeline.device import Frame
from pipeline.features.op import Op, Rows, State
from pipeline.schema import Columns, Schema


class Keep(Op):
    """Takes away all columns but these, and but those that the target is made of.

    Example:
        >>> from pipeline.features.registry import parse_op
        >>> from pipeline.features.try_op import make_frame
        >>> schema, _ = make_frame({"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]})
        >>> parse_op({"keep": ["b", "c"]}).output_schema(schema).names
        ['b', 'c']
    """

    name: ClassVar[str] = "keep"

    columns: Columns

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) and "columns" in value else {"columns": value}

    def reads(self, schema: Schema) -> list[str]:
        """None: what is kept is read by who uses it."""
        return []

    def removes(self, schema: Schema) -> list[str]:
        """The columns that are not selected."""
        kept = set(self.columns.resolve(schema)) | schema.target
        return [name for name in schema.names if name not in kept]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """No column."""
        return rows.device.make_frame({})
