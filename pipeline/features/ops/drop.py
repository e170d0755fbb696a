"""drop: columns that no later op and no model gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from pipeline.features.op import Op
from pipeline.schema import Columns, Schema


class Drop(Op):
    """Remove columns.

    Columns of the target expression may be named; no model uses them in any case.

    Example:
        - drop: [a, text]

        >>> from pipeline.features.registry import parse_op
        >>> from pipeline.features.try_op import make_frame
        >>> schema, _ = make_frame({"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]})
        >>> parse_op({"drop": ["a", "text"]}).output_schema(schema).names
        ['c']
    """

    name: ClassVar[str] = "drop"

    columns: Columns
    """Columns to remove."""

    @model_validator(mode="before")
    @classmethod
    def _accept_shorthand(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) and "columns" in value else {"columns": value}

    def reads(self, schema: Schema) -> list[str]:
        """Return no columns: a dropped column need not be read."""
        return []

    def removes(self, schema: Schema) -> list[str]:
        """Return the selected columns."""
        return self.columns.resolve(schema)
