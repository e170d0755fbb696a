"""keep: the only columns that later ops and models get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from pipeline.features.op import Op
from pipeline.schema import Columns, Schema


class Keep(Op):
    """Remove all columns except these and those of the target expression.

    Example:
        - keep: [b, c]

        >>> from pipeline.features.registry import parse_op
        >>> from pipeline.features.try_op import make_frame
        >>> schema, _ = make_frame({"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]})
        >>> parse_op({"keep": ["b", "c"]}).output_schema(schema).names
        ['b', 'c']
    """

    name: ClassVar[str] = "keep"

    columns: Columns
    """Columns to keep."""

    @model_validator(mode="before")
    @classmethod
    def _accept_shorthand(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) and "columns" in value else {"columns": value}

    def reads(self, schema: Schema) -> list[str]:
        """Return no columns: later ops read what they use."""
        return []

    def removes(self, schema: Schema) -> list[str]:
        """Return the columns that are not selected."""
        remaining = set(self.columns.resolve(schema)) | schema.target
        return [name for name in schema.names if name not in remaining]
