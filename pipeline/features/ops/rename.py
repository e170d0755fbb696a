"""rename: other names for columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from pipeline.device import Frame
from pipeline.errors import ConfigError
from pipeline.features.op import Op, Rows, State
from pipeline.schema import RESERVED, Column, Schema


class Rename(Op):
    """Gives columns other names; dtype, kind and values stay. Two columns may swap names.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> try_op("rename: {dep time: departed}", {"dep time": [517, 533], "dest": ["IAH", "MIA"]})
           departed
        0       517
        1       533
    """

    name: ClassVar[str] = "rename"

    columns: Mapping[str, str]
    """New names by old ones."""

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value:
            raise ValueError("write `rename: {old: new}`")
        return value if isinstance(value.get("columns"), Mapping) else {"columns": dict(value)}

    @model_validator(mode="after")
    def _names(self) -> Rename:
        new = list(self.columns.values())
        if not new:
            raise ValueError("write `rename: {old: new}`")
        if twice := sorted({n for n in new if new.count(n) > 1}):
            raise ValueError(f"two columns cannot both become {twice[0]!r}")
        if taken := RESERVED & set(new):
            raise ValueError(f"{min(taken)!r} is a name of the pipeline's own")
        if "" in new:
            raise ValueError("a name cannot be empty")
        return self

    def reads(self, schema: Schema) -> list[str]:
        """The old names."""
        for old, new in self.columns.items():
            if new in schema and new not in self.columns and schema[old].name != new:
                raise ConfigError(
                    f"rename: {old!r} cannot become {new!r}, which is a column already",
                    fix=f"drop: [{new}] first, or choose another name",
                )
        return [schema[old].name for old in self.columns]

    def produces(self, schema: Schema) -> list[Column]:
        """The same columns under their new names."""
        names = self.reads(schema)
        return [Column(self.columns[n], schema[n].dtype, schema[n].kind) for n in names]

    def removes(self, schema: Schema) -> list[str]:
        """The old names that are no new ones."""
        new = set(self.columns.values())
        return [n for n in self.reads(schema) if n not in new]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """The columns as they are."""
        return rows.device.make_frame({new: frame[old] for old, new in self.columns.items()})
