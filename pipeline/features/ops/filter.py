"""filter: keeps the rows for which an expression is true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from pipeline.device import Frame
from pipeline.errors import ConfigError
from pipeline.expression import Expression, parse
from pipeline.features.op import Op, Rows, State
from pipeline.schema import Schema


class Filter(Op):
    """Keeps the rows where the expression is true; where it is missing, the row goes.

    It stands among the ops, but the runner applies it at ingest, before the split: it sees only
    the columns of the data as read, not those of ops before it. New rows that it would drop get a
    null prediction.

    Example:
        >>> from pipeline.device import cpu
        >>> from pipeline.features.registry import parse_op
        >>> from pipeline.features.try_op import make_frame
        >>> from pipeline.ingest.labels.assign import passing
        >>> _, frame = make_frame({"distance": [200.0, 17.0, None]})
        >>> op = parse_op({"filter": "distance > 50"})
        >>> passing(frame, op.expression(), cpu).tolist()
        [True, False, False]
    """

    name: ClassVar[str] = "filter"

    where: str
    """The expression; its result is true or false."""

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) else {"where": value}

    @model_validator(mode="after")
    def _parse(self) -> Filter:
        self.expression()
        return self

    def expression(self) -> Expression:
        """The parsed expression."""
        return parse(self.where)

    def check(self, schema: Schema) -> None:
        """Refuses an expression over other columns, or one that is not true or false.

        Raises:
            ConfigError: with the position in the expression, or the result's dtype.
        """
        if (dtype := self.expression().check(schema).dtype) != "bool":
            raise ConfigError(
                f"filter: {self.where!r} is {dtype}, not true or false",
                fix=f"compare it with something, for example {self.where} > 0",
            )

    def reads(self, schema: Schema) -> list[str]:
        """The columns of the expression."""
        self.check(schema)
        return self.expression().columns

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """No column: it is rows that a filter takes away, at ingest."""
        return rows.device.make_frame({})
