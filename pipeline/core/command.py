"""What every command does with an error a person can fix: one clear line and exit code 1, no traceback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from pipeline.core.errors import UpqaError

P = ParamSpec("P")
T = TypeVar("T")


def friendly(command: Callable[P, T]) -> Callable[P, T]:
    """`command`, with an UpqaError or OSError turned into a message on stderr and exit code 1."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except (UpqaError, OSError) as error:
            typer.secho(f"error: {error}", fg="red", err=True)
            raise typer.Exit(1) from error

    return wrapped
