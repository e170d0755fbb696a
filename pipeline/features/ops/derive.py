"""derive: new columns from expressions over columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from pydantic import field_validator, model_validator

from pipeline.device import Frame
from pipeline.errors import ConfigError
from pipeline.expression import Expression, parse, rename_columns
from pipeline.features.op import Op, Rows, State, check_new_names
from pipeline.schema import Column, Schema

_USAGE = "write `derive: {name: expression}`"


class Derive(Op):
    """Compute new columns from expressions over columns.

    Each expression sees the columns named before it in the same entry. An existing name is
    replaced. `pipeline.expression` describes the language. A result is int64, float64, bool,
    datetime or text, and missing where an operand is.

    Example:
        - derive:
            minute: sched // 100 * 60 + sched % 100
            late: minute > 1200 and carrier in ['AA', 'DL']

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
    """Expressions by the name of the new column. ``derive: {name: expression}`` is short for
    ``derive: {columns: …}``."""

    @model_validator(mode="before")
    @classmethod
    def _accept_shorthand(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value:
            raise ValueError(_USAGE)
        return value if isinstance(value.get("columns"), Mapping) else {"columns": dict(value)}

    @field_validator("columns", mode="before")
    @classmethod
    def _accept_constants(cls, value: Any) -> Any:
        plain = (bool, int, float)  # YAML parses `one: 1` as a number
        return {n: str(e) if isinstance(e, plain) else e for n, e in dict(value).items()}

    @model_validator(mode="after")
    def _check_syntax(self) -> Derive:
        if not self.columns:
            raise ValueError(_USAGE)
        check_new_names(self.columns)
        for name in self.columns:
            self._expression(name)
        return self

    def rename_columns(self, rename: Callable[[str], str]) -> Self:
        """Return the op with other names of columns in its expressions; results keep theirs."""
        columns: dict[str, str] = {}
        for name, text in self.columns.items():
            # An expression sees the results before it, which may have the name of a column.
            columns[name] = rename_columns(text, lambda n: n if n in columns else rename(n))
        return self if columns == self.columns else self.model_copy(update={"columns": columns})

    def _expression(self, name: str) -> Expression:
        try:
            return parse(self.columns[name])
        except ConfigError as error:
            raise _name_column(name, error) from None

    def reads(self, schema: Schema) -> list[str]:
        """Return the columns in the expressions that no expression before them defines."""
        inputs: dict[str, None] = {}
        defined: set[str] = set()
        for name in self.columns:
            used = self._expression(name).columns
            inputs |= dict.fromkeys(n for n in used if n not in defined)
            defined.add(name)
        return list(inputs)

    def produces(self, schema: Schema) -> list[Column]:
        """Return a column for each name, with its expression's dtype."""
        columns: list[Column] = []
        for name in self.columns:
            try:
                result = self._expression(name).check(schema)
            except ConfigError as error:
                raise _name_column(name, error) from None
            columns.append(Column(name, result.dtype))
            # Later expressions of the entry may use this column.
            schema = schema.with_columns(columns[-1:])
        return columns

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Evaluate the expressions in the order written."""
        device = rows.device
        columns = {n: frame[n] for n in frame.columns}
        for name in self.columns:
            columns[name] = self._expression(name).evaluate(frame, device)
            frame = device.make_frame(columns)
        return device.make_frame({name: columns[name] for name in self.columns})


def _name_column(name: str, error: ConfigError) -> ConfigError:
    return ConfigError(f"derive.{name}: {error.message}", examples=error.examples, fix=error.fix)
