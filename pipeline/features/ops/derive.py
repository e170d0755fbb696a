"""derive: new columns from expressions over columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import field_validator, model_validator

from pipeline.device import Frame
from pipeline.errors import ConfigError
from pipeline.expression import Expression, parse
from pipeline.features.op import Op, Rows, State
from pipeline.schema import RESERVED, Column, Schema


class Derive(Op):
    """New columns from expressions; each sees the columns named before it in the same entry.

    A name that exists is replaced. What an expression may say: `pipeline.expression`. A result is
    int64, float64, bool, datetime or text, and missing where an operand is.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> flights = {"sched": [517, 2359, None], "carrier": ["UA", "AA", "UA"]}
        >>> entry = {
        ...     "minute": "sched // 100 * 60 + sched % 100",
        ...     "late": "minute > 1200 and carrier in ['AA', 'DL']",
        ... }
        >>> try_op({"derive": entry}, flights)
           minute   late
        0   317.0  False
        1  1439.0   True
        2     NaN   <NA>
    """

    name: ClassVar[str] = "derive"

    columns: Mapping[str, str]
    """Expressions by the name of the new column."""

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value:
            raise ValueError("write `derive: {name: expression}`")
        return value if isinstance(value.get("columns"), Mapping) else {"columns": dict(value)}

    @field_validator("columns", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        plain = (bool, int, float)
        return {n: str(e) if isinstance(e, plain) else e for n, e in dict(value).items()}

    @model_validator(mode="after")
    def _parse(self) -> Derive:
        if not self.columns:
            raise ValueError("write `derive: {name: expression}`")
        if taken := RESERVED & set(self.columns):
            raise ValueError(f"{min(taken)!r} is a name of the pipeline's own")
        if "" in self.columns:
            raise ValueError("a name cannot be empty")
        for name in self.columns:
            self._expression(name)
        return self

    def _expression(self, name: str) -> Expression:
        try:
            return parse(self.columns[name])
        except ConfigError as error:
            raise _placed(name, error) from None

    def reads(self, schema: Schema) -> list[str]:
        """The columns in the expressions that none before them makes."""
        found: dict[str, None] = {}
        made: set[str] = set()
        for name in self.columns:
            found |= dict.fromkeys(n for n in self._expression(name).columns if n not in made)
            made.add(name)
        return list(found)

    def produces(self, schema: Schema) -> list[Column]:
        """A column for each name, of its expression's dtype."""
        columns: list[Column] = []
        for name in self.columns:
            try:
                result = self._expression(name).check(schema)
            except ConfigError as error:
                raise _placed(name, error) from None
            columns.append(Column(name, result.dtype))
            schema = schema.with_columns(columns[-1:])
        return columns

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Evaluates the expressions in the order written."""
        device = rows.device
        seen, known = frame, {n: frame[n] for n in frame.columns}
        for name in self.columns:
            known[name] = self._expression(name).evaluate(seen, device)
            seen = device.make_frame(known)
        return device.make_frame({name: known[name] for name in self.columns})


def _placed(name: str, error: ConfigError) -> ConfigError:
    return ConfigError(f"derive.{name}: {error.message}", examples=error.examples, fix=error.fix)
