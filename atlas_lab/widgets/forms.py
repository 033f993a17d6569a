"""A form for a payload type: which fields it has, and how each is read and shown as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec
import msgspec.inspect

from .json_text import parse_json, plain, write_json

Kind: TypeAlias = Literal["text", "int", "float", "bool", "choice", "json"]

LEFT_OUT = object()
"""What an empty field means where the type has a value of its own."""

MOST_FIELDS = 40
"""A type of more fields gets no form; its JSON is easier to read."""

_KINDS: dict[type, Kind] = {
    msgspec.inspect.StrType: "text",
    msgspec.inspect.IntType: "int",
    msgspec.inspect.FloatType: "float",
    msgspec.inspect.BoolType: "bool",
}
_EMPTY: dict[Kind, Any] = {"text": "", "int": 0, "float": 0.0, "bool": False}


@dataclass(frozen=True)
class FormField:
    """One field of a payload.

    Attributes
    ----------
    name : str
        The key in the JSON.
    kind : {"text", "int", "float", "bool", "choice", "json"}
    required : bool
        Whether the type has no value of its own for it.
    nullable : bool
        Whether it may be None.
    choices : tuple
        The values that a "choice" has.
    start : object
        What stands in a new payload; `LEFT_OUT` for nothing.
    """

    name: str
    kind: Kind
    required: bool
    nullable: bool
    choices: tuple[Any, ...]
    start: Any

    def read(self, text: str) -> Any:
        """Return the value that a text stands for.

        Raises
        ------
        ValueError
            If it stands for none; the message says what is expected.

        Examples
        --------
        >>> from dataclasses import dataclass
        >>> from atlas_lab.widgets.forms import fields_of
        >>> @dataclass
        ... class Chunk:
        ...     index: int
        >>> fields_of(Chunk)[0].read("two")
        Traceback (most recent call last):
            ...
        ValueError: expected a whole number
        """
        if not text.strip() and self.kind != "text":
            if self.nullable:
                return None
            if not self.required:
                return LEFT_OUT
        if self.kind == "text":
            return None if self.nullable and not text else text
        if self.kind == "bool":
            if text.strip().lower() not in {"true", "false"}:
                raise ValueError("expected true or false")
            return text.strip().lower() == "true"
        if self.kind == "choice":
            for choice in self.choices:
                if text == self.show(choice):
                    return choice
            raise ValueError(f"expected one of {', '.join(map(self.show, self.choices))}")
        if self.kind == "json":
            return parse_json(text)
        return _number(text, self.kind)

    def show(self, value: object) -> str:
        """Return a value as the text that stands for it; None and what is left out as no text."""
        if value is None or value is LEFT_OUT:
            return ""
        return value if isinstance(value, str) and self.kind != "json" else write_json(value)


def fields_of(data_type: Any) -> tuple[FormField, ...]:
    """Return the fields of a dataclass, msgspec Struct or TypedDict; none for any other type.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from atlas_lab.widgets.forms import fields_of
    >>> @dataclass
    ... class Chunk:
    ...     text: str
    ...     index: int = 0
    >>> [(field.name, field.kind, field.required) for field in fields_of(Chunk)]
    [('text', 'text', True), ('index', 'int', False)]
    """
    try:
        info = msgspec.inspect.type_info(data_type)
    except Exception:  # noqa: BLE001 - any code may run where a type is asked for its parts
        return ()
    parts = getattr(info, "fields", ())
    if getattr(info, "array_like", False) or len(parts) > MOST_FIELDS:
        return ()
    tag = getattr(info, "tag_field", None)
    tagged = (FormField(tag, "choice", True, False, (info.tag,), info.tag),) if tag else ()  # type: ignore[attr-defined]
    return (*tagged, *map(_field, parts))


def new_payload(data_type: Any) -> Any:
    """Return a payload of a type to start from: its own values, and empty ones for what it asks for.

    Returns
    -------
    dict or None
        None for a type without fields.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from atlas_lab.widgets.forms import new_payload
    >>> @dataclass
    ... class Chunk:
    ...     text: str
    ...     index: int = 7
    >>> new_payload(Chunk)
    {'text': '', 'index': 7}
    """
    fields = fields_of(data_type)
    return {field.name: field.start for field in fields if field.start is not LEFT_OUT} if fields else None


def _field(part: Any) -> FormField:
    kinds = part.type.types if isinstance(part.type, msgspec.inspect.UnionType) else (part.type,)
    plainly = [kind for kind in kinds if not isinstance(kind, msgspec.inspect.NoneType)]
    only = plainly[0] if len(plainly) == 1 else None
    nullable = len(plainly) < len(kinds)
    kind: Kind = _KINDS.get(type(only), "json")
    choices: tuple[Any, ...] = ()
    if isinstance(only, msgspec.inspect.LiteralType):
        kind, choices = "choice", tuple(only.values)
    elif isinstance(only, msgspec.inspect.EnumType):
        kind, choices = "choice", tuple(plain(member) for member in only.cls)
    if kind == "choice" and None in choices:
        nullable, choices = True, tuple(choice for choice in choices if choice is not None)
    return FormField(part.encode_name, kind, part.required, nullable, choices, _start(part, kind, nullable, choices))


def _start(part: Any, kind: Kind, nullable: bool, choices: tuple[Any, ...]) -> Any:
    try:
        if part.default is not msgspec.NODEFAULT:
            return plain(part.default)
        if part.default_factory is not msgspec.NODEFAULT:
            return plain(part.default_factory())
    except Exception:  # noqa: BLE001 - a user's own code, or a value that JSON does not know
        return LEFT_OUT
    if not part.required:
        return LEFT_OUT
    if nullable:
        return None
    if choices:
        return choices[0]
    if isinstance(part.type, msgspec.inspect.CollectionType):
        return []
    return _EMPTY.get(kind, {})


def _number(text: str, kind: Kind) -> int | float:
    try:
        value = parse_json(text.strip())
    except ValueError:
        value = None
    if not isinstance(value, bool) and isinstance(value, int if kind == "int" else int | float):
        return value
    raise ValueError("expected a whole number" if kind == "int" else "expected a number")
