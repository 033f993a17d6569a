"""Checks of arguments: each error names the argument, what came, and what is expected."""

from __future__ import annotations

import sys
from typing import Any, TypeGuard, TypeVar, overload

from .naming import callable_name, is_async, short_repr

K = TypeVar("K")


@overload
def is_kind(value: object, kind: type[K]) -> TypeGuard[K]: ...
@overload
def is_kind(value: object, kind: Any) -> bool: ...
def is_kind(value: object, kind: Any) -> bool:
    """Return ``isinstance(value, kind)``, also for a value that fails when it is asked for its class."""
    try:
        return isinstance(value, kind)
    except TypeError:  # `kind` is none
        raise
    except Exception:  # noqa: BLE001 - any code may run in there
        return issubclass(type(value), kind)


def came(value: object) -> str:
    """Return what a message says of a value that came: its type, and as much of it as can be shown."""
    return f"{type(value).__name__} {short_repr(value, 80)}"


def refuse(argument: str, value: object, expected: str) -> TypeError:
    """Return the error for an argument of the wrong kind."""
    return TypeError(f"{argument} must be {expected}, got {came(value)}")


def check_kind(argument: str, value: object, kind: Any, expected: str) -> None:
    """Raise TypeError if `value` is no instance of `kind`; a bool is no number."""
    if type(value) is kind:
        return
    if not is_kind(value, kind) or (is_kind(value, bool) and kind is not bool):
        raise refuse(argument, value, expected)


def check_optional(argument: str, value: object, kind: Any, expected: str) -> None:
    """Raise TypeError if `value` is neither None nor an instance of `kind`."""
    if value is not None:
        check_kind(argument, value, kind, f"{expected} or None")


def text_or_none(argument: str, value: object) -> str | None:
    """Return a str as one of no subclass, whose methods might do anything, and None as None.

    Raises
    ------
    TypeError
        If `value` is neither.
    """
    if value is None or type(value) is str:
        return value
    check_kind(argument, value, str, "a str or None")
    return str.__str__(value)


def check_text(argument: str, value: object, expected: str) -> None:
    """Raise TypeError if `value` is no str, ValueError if it holds what UTF-8 cannot hold."""
    check_kind(argument, value, str, expected)
    try:
        str.encode(value)  # type: ignore[arg-type]  # check_kind does not tell
    except UnicodeEncodeError:
        raise ValueError(f"{argument} must be text that UTF-8 can hold, got {came(value)}") from None


def check_count(argument: str, value: object, least: int) -> None:
    """Raise TypeError if `value` is not an int, ValueError if it is below `least` or no size that Python can count."""
    check_kind(argument, value, int, f"an int of {least} or more")
    if isinstance(value, int) and value < least:
        raise ValueError(f"{argument} must be {least} or more, got {short_repr(value, 80)}")
    if isinstance(value, int) and value > sys.maxsize:
        raise ValueError(f"{argument} must be {sys.maxsize} or less, got {short_repr(value, 80)}")


def check_choice(argument: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError if `value` is not one of `choices`."""
    if not is_kind(value, str) or str.__str__(value) not in choices:
        raise ValueError(f"{argument} must be {' or '.join(map(repr, choices))}, got {short_repr(value, 80)}")


def check_callable(argument: str, value: object, expected: str) -> None:
    """Raise TypeError if `value` cannot be called."""
    if not callable(value):
        raise refuse(argument, value, expected)


def check_condition(argument: str, value: object) -> None:
    """Raise TypeError if `value` is neither None nor a plain function to ask about an event."""
    if value is None:
        return
    check_callable(argument, value, "callable with one event")
    if is_async(value):  # what it returns would count as true, and nobody would await it
        raise TypeError(f"{argument} must be a plain function, got the async function {callable_name(value)}")
