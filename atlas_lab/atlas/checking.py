"""What a system says of an argument of the wrong kind."""

from __future__ import annotations

import reprlib
from types import UnionType


def check(argument: str, value: object, kind: type | UnionType, expected: str) -> None:
    """Raise TypeError if `value` is no instance of `kind`; a bool is no number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{argument} must be {expected}, got {type(value).__name__} {reprlib.repr(value)}")


def check_seconds(argument: str, value: float) -> float:
    """Return a number of seconds above 0 that a thread can wait.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    check(argument, value, int | float, "a number of seconds")
    if not 0 < value <= 1e9:
        raise ValueError(f"{argument} must be a number of seconds above 0, got {value}")
    return value
