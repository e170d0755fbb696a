"""filter: the rows for which an expression is true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from pipeline.errors import ConfigError
from pipeline.expression import Expression, parse, rename_columns
from pipeline.features.op import Op
from pipeline.schema import Schema


class Filter(Op):
    """Keep the rows for which an expression is true; rows where it is missing are removed.

    The filter is written among the ops, but ingest applies it, before the split. It sees only the
    columns of the data as read, not those of ops before it. New rows that it would remove get a
    null prediction.

    Example:
        - filter: distance > 50

        >>> from pipeline.device import cpu
        >>> from pipeline.features.registry import parse_op
        >>> from pipeline.features.try_op import make_frame
        >>> from pipeline.ingest.labels.assign import evaluate_filter
        >>> _, frame = make_frame({"distance": [200.0, 17.0, None]})
        >>> op = parse_op({"filter": "distance > 50"})
        >>> evaluate_filter(frame, op.expression(), cpu).tolist()
        [True, False, False]
    """

    name: ClassVar[str] = "filter"

    where: str
    """Expression that is true or false per row."""

    @model_validator(mode="before")
    @classmethod
    def _accept_shorthand(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) else {"where": value}

    # The columns are unknown here: `check` looks them up once the schema is known.
    @model_validator(mode="after")
    def _check_syntax(self) -> Filter:
        self.expression()
        return self

    def rename_columns(self, rename: Callable[[str], str]) -> Self:
        """Return the filter with other names of columns in its expression."""
        where = rename_columns(self.where, rename)
        return self if where == self.where else self.model_copy(update={"where": where})

    def expression(self) -> Expression:
        """Return the parsed expression."""
        return parse(self.where)

    def check(self, schema: Schema) -> None:
        """Refuse an expression over unknown columns, or one that is not true or false.

        Raises:
            ConfigError: with the position in the expression, or the result's dtype.
        """
        if (dtype := self.expression().check(schema).dtype) != "bool":
            raise ConfigError(
                f"filter: {self.where!r} is {dtype}, not true or false",
                fix=f"compare it with something, for example {self.where} > 0",
            )

    def reads(self, schema: Schema) -> list[str]:
        """Return the columns of the expression."""
        self.check(schema)
        return self.expression().columns
