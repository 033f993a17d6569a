"""A payload as text: JSON read with a message that says where it stops making sense."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec

from atlas_lab.errors import PayloadTypeError
from atlas_lab.naming import message_of, short_repr

LONGEST = 1_000_000
"""Characters of a payload at most."""

_PLACE = re.compile(r" - at `(?:key in )?\$\.?(.*)`$")
_HINTS = (
    (re.compile(r"'"), "JSON wants double quotes"),
    (re.compile(r"(True|False|None|NaN|Infinity|-Infinity|nan|inf)\b"), "JSON knows true, false and null"),
    (re.compile(r"[}\]]"), "take out the comma in front of it"),
    (re.compile(r"[A-Za-z_]"), 'text stands in quotes: "like this"'),
)


def parse_json(text: str) -> Any:
    """Return what a JSON text says; None for an empty one.

    Raises
    ------
    ValueError
        If it is no JSON, or longer than `LONGEST`; the message names line and column.

    Examples
    --------
    >>> from atlas_lab.widgets.json_text import parse_json
    >>> parse_json('{"a": 1}')
    {'a': 1}
    >>> parse_json("{'a': 1}")
    Traceback (most recent call last):
        ...
    ValueError: line 1, column 2: a key is missing, got "'"; JSON wants double quotes
    """
    if not text.strip():
        return None
    if len(text) > LONGEST:
        raise ValueError(f"{len(text):,} characters are too many; {LONGEST:,} is the limit")
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {_problem(error)}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError as error:  # a number of too many digits, or a constant
        raise ValueError(message_of(error).partition("; use sys")[0]) from None


def write_json(value: object) -> str:
    """Return a payload as JSON text; what JSON does not know is written as text.

    Examples
    --------
    >>> from atlas_lab.widgets.json_text import write_json
    >>> write_json({"text": "grün", "index": 2})
    '{"text": "grün", "index": 2}'
    """
    return json.dumps(value, ensure_ascii=False, default=short_repr)


def laid_out(value: object) -> str:
    """Return a payload as JSON text with one line for each entry of a mapping, to be edited by hand."""
    if not isinstance(value, dict) or not value:
        return write_json(value)
    return "{" + ",\n ".join(f"{write_json(str(key))}: {write_json(item)}" for key, item in value.items()) + "}"


def plain(value: object) -> Any:
    """Return a payload as what JSON can say, such as a dict for a dataclass.

    Raises
    ------
    TypeError, ValueError
        If there is no such thing.
    """
    return msgspec.to_builtins(value, str_keys=True)


def misfit(error: PayloadTypeError) -> tuple[str, str]:
    """Return which field of a payload does not fit its type, "" for the whole, and why.

    Examples
    --------
    >>> from atlas_lab import PayloadTypeError
    >>> from atlas_lab.widgets.json_text import misfit
    >>> misfit(PayloadTypeError("payload does not fit Chunk: Expected `int`, got `str` - at `$.index`"))
    ('index', 'expected int, got str')
    """
    text = message_of(error).partition(": ")[2] or message_of(error)
    found = _PLACE.search(text)
    reason = text[: found.start()] if found else text
    return found[1] if found else "", (reason[:1].lower() + reason[1:]).replace("`", "")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON; write null, or a number")


def _problem(error: json.JSONDecodeError) -> str:
    rest = error.doc[error.pos :]
    wanted = {
        "Expecting property name enclosed in double quotes": "a key is missing",
        "Expecting value": "a value is missing",
        "Expecting ',' delimiter": "a comma or the end is missing",
        "Expecting ':' delimiter": "a colon is missing",
        "Illegal trailing comma before end of object": "a comma too many",
        "Illegal trailing comma before end of array": "a comma too many",
        "Unterminated string starting at": "this text has no closing quote",
        "Extra data": "this is more than one value",
    }.get(error.msg, error.msg[:1].lower() + error.msg[1:])
    if error.msg.startswith(("Unterminated", "Invalid", "Extra", "Illegal")):
        return wanted
    if not rest:
        return f"{wanted}, the text ends here"
    hint = next((f"; {hint}" for pattern, hint in _HINTS if pattern.match(rest)), "")
    return f"{wanted}, got {write_json(rest[0]) if rest[0] == chr(34) else short_repr(rest[0])}{hint}"
