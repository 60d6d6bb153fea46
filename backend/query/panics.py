"""Failures of libraries that are written in Rust, as errors like others."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


class PanicError(Exception):
    """A library panicked, which is a defect; the message is what it said."""


def contained(
    function: Callable[Arguments, Returned], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Returned:
    """Call a function in a worker thread.

    A panic is raised as a BaseException, such as those that end a program, and would be caught by nobody who answers
    questions: whoever asked would get no answer at all.

    Raises:
        PanicError: a library panicked.
    """
    try:
        return function(*arguments, **named)
    except Exception:
        raise
    except BaseException as panic:
        raise PanicError(f"{type(panic).__name__}: {panic}") from panic
