"""rename: other names for columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from pipeline.device import Frame
from pipeline.errors import ConfigError
from pipeline.features.op import Op, Rows, State, check_new_names
from pipeline.schema import Column, Schema


class Rename(Op):
    """Rename columns; dtype, kind and values stay. Two columns may swap their names.

    Example:
        - rename: {dep time: departed}

        >>> from pipeline.features.try_op import try_op
        >>> try_op("rename: {dep time: departed}", {"dep time": [517, 533], "dest": ["IAH", "MIA"]})
           departed
        0       517
        1       533
    """

    name: ClassVar[str] = "rename"

    columns: Mapping[str, str]
    """New names by old names. ``rename: {old: new}`` is short for ``rename: {columns: …}``."""

    @model_validator(mode="before")
    @classmethod
    def _accept_shorthand(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value:
            raise ValueError("write `rename: {old: new}`")
        return value if isinstance(value.get("columns"), Mapping) else {"columns": dict(value)}

    @model_validator(mode="after")
    def _check_names(self) -> Rename:
        new = list(self.columns.values())
        if not new:
            raise ValueError("write `rename: {old: new}`")
        if twice := sorted({n for n in new if new.count(n) > 1}):
            raise ValueError(f"two columns cannot both become {twice[0]!r}")
        check_new_names(new)
        return self

    def reads(self, schema: Schema) -> list[str]:
        """Return the old names.

        Raises:
            ConfigError: a new name belongs to another column.
        """
        for old, new in self.columns.items():
            # A new name may be an old name too: columns swap names.
            if new in schema and new not in self.columns and schema[old].name != new:
                raise ConfigError(
                    f"rename: {old!r} cannot become {new!r}, which is a column already",
                    fix=f"drop: [{new}] first, or choose another name",
                )
        return [schema[old].name for old in self.columns]

    def produces(self, schema: Schema) -> list[Column]:
        """Return the same columns with their new names."""
        names = self.reads(schema)
        return [Column(self.columns[n], schema[n].dtype, schema[n].kind) for n in names]

    def removes(self, schema: Schema) -> list[str]:
        """Return the old names that are not new names too."""
        new = set(self.columns.values())
        return [n for n in self.reads(schema) if n not in new]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Return the columns unchanged."""
        return rows.device.make_frame({new: frame[old] for old, new in self.columns.items()})
