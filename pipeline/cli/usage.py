"""Mistakes in the words of a command line, told as all other errors are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup

from pipeline.errors import InputError
from pipeline.memory import address_space

USAGE: type[Exception] = typer.BadParameter.__bases__[0]
"""Typer's own class of them, which it does not export."""


class CommandGroup(TyperGroup):
    """Typer's commands, whose usage errors are ours; without arguments it prints its help."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parses what stands before the command."""
        with _ours():
            return super().make_context(*args, **kwargs)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command, and checks that its libraries have room; not for its help."""
        found = super().resolve_command(ctx, args)
        if "--help" not in args:
            address_space.check_limit(str(found[0]))
        return found

    def invoke(self, ctx: Any) -> Any:
        """Parses the rest and runs the command."""
        with _ours():
            return super().invoke(ctx)


@cache
def build_command(app: typer.Typer) -> Any:
    """The commands of an app; to make them takes longer than to parse many command lines."""
    return typer.main.get_command(app)


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except USAGE as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "pipeline"
        message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        raise InputError(message, fix=f"see: python -m {command} --help") from None


def parse_rows(text: str) -> int:
    """A number of rows: ``50000``, ``50_000`` or ``5e4``.

    Raises:
        typer.BadParameter: it is none, or below 1.
    """
    try:
        number = float(text)
        if number >= 1 and number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise typer.BadParameter(f"{text!r} is not a whole number of at least 1")
