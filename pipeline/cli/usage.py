"""Parsing of the command line, with its mistakes reported like all other errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup

from pipeline.errors import InputError
from pipeline.memory import address_space

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Typer's class of all mistakes in a command line, which it does not export."""


class CommandGroup(TyperGroup):
    """A group of Typer's commands that reports mistakes as `InputError`."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the options before the command."""
        with _report_mistakes():
            return super().make_context(*args, **kwargs)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, and check that its libraries fit into the address space."""
        resolved = super().resolve_command(ctx, args)
        if "--help" not in args:  # help loads no libraries
            address_space.check_limit(str(resolved[0]))
        return resolved

    def invoke(self, ctx: Any) -> Any:
        """Parse the other arguments and run the command."""
        with _report_mistakes():
            return super().invoke(ctx)


@cache
def build_command(app: typer.Typer) -> Any:
    """Build the commands of an app, once per process because that is slow."""
    return typer.main.get_command(app)


@contextmanager
def _report_mistakes() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "pipeline"
        message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        raise InputError(message, fix=f"read the help: python -m {command} --help") from None


def list_examples(*commands: str) -> str:
    """Format the examples of a command's help, each given without ``python -m pipeline``."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    return "\n\n".join([title, *(f"  python -m pipeline {command}" for command in commands)])


def parse_rows(text: str) -> int:
    """Parse a number of rows: ``50000``, ``50_000`` or ``5e4``.

    Raises:
        typer.BadParameter: The text is not a whole number, or it is below 1.
    """
    try:
        number = float(text)
        if number >= 1 and number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise typer.BadParameter(f"{text!r} is not a whole number of at least 1")
