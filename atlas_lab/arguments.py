"""Checks of arguments: each error names the argument, what came, and what is expected."""

from __future__ import annotations

from typing import Any


def refuse(argument: str, value: object, expected: str) -> TypeError:
    """Return the error for an argument of the wrong kind."""
    return TypeError(f"{argument} must be {expected}, got {type(value).__name__} {value!r:.80}")


def check_kind(argument: str, value: object, kind: Any, expected: str) -> None:
    """Raise TypeError if `value` is no instance of `kind`; a bool is no number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise refuse(argument, value, expected)


def check_optional(argument: str, value: object, kind: Any, expected: str) -> None:
    """Raise TypeError if `value` is neither None nor an instance of `kind`."""
    if value is not None:
        check_kind(argument, value, kind, f"{expected} or None")


def check_count(argument: str, value: object, least: int) -> None:
    """Raise TypeError if `value` is not an int, ValueError if it is below `least`."""
    check_kind(argument, value, int, f"an int of {least} or more")
    if isinstance(value, int) and value < least:
        raise ValueError(f"{argument} must be {least} or more, got {value}")


def check_choice(argument: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError if `value` is not one of `choices`."""
    if value not in choices:
        raise ValueError(f"{argument} must be {' or '.join(map(repr, choices))}, got {value!r:.80}")


def check_callable(argument: str, value: object, expected: str) -> None:
    """Raise TypeError if `value` cannot be called."""
    if not callable(value):
        raise refuse(argument, value, expected)
