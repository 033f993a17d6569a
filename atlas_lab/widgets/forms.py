"""A form for a payload type: which fields it has, and how each is read and shown as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
import msgspec.inspect

from .json_text import parse_json, plain, write_json

Kind: TypeAlias = Literal["text", "int", "float", "bool", "choice", "written", "json"]

LEFT_OUT = object()
"""What an empty field means where the type has a value of its own."""

MOST_FIELDS = 40
"""A type of more fields gets no form; its JSON is easier to read."""

DEEPEST = 3
"""Types inside types whose fields stand in the form; what is deeper is written as JSON."""

_KINDS: dict[type, Kind] = {
    msgspec.inspect.StrType: "text",
    msgspec.inspect.IntType: "int",
    msgspec.inspect.FloatType: "float",
    msgspec.inspect.BoolType: "bool",
}
_WRITTEN: dict[type, str] = {
    msgspec.inspect.BytesType: "base64",
    msgspec.inspect.ByteArrayType: "base64",
    msgspec.inspect.DateTimeType: "2026-01-31T14:30:00",
    msgspec.inspect.DateType: "2026-01-31",
    msgspec.inspect.TimeType: "14:30:00",
    msgspec.inspect.UUIDType: "a UUID",
    msgspec.inspect.DecimalType: "a decimal number",
}
"""Types whose values JSON holds as text, and what such a text looks like."""

_HINTS: dict[Kind, str] = {"int": "a whole number", "float": "a number", "json": "JSON"}
_EMPTY: dict[Kind, Any] = {"text": "", "written": "", "int": 0, "float": 0.0, "bool": False}
_WITH_FIELDS = (msgspec.inspect.DataclassType, msgspec.inspect.StructType, msgspec.inspect.TypedDictType)


@dataclass(frozen=True)
class FormField:
    """One field of a payload.

    Attributes
    ----------
    path : tuple of str
        The keys in the JSON that lead to it; more than one for a field of a type inside the type.
    kind : {"text", "int", "float", "bool", "choice", "written", "json"}
        "written" is a value that JSON holds as text, such as a date.
    required : bool
        Whether the type has no value of its own for it.
    nullable : bool
        Whether it may be None.
    choices : tuple
        The values that a "choice" has.
    start : object
        What stands in a new payload; `LEFT_OUT` for nothing.
    hint : str
        What to write, where nothing stands.
    """

    path: tuple[str, ...]
    kind: Kind
    required: bool
    nullable: bool
    choices: tuple[Any, ...]
    start: Any
    hint: str = ""

    @property
    def name(self) -> str:
        """The name by which the form and its problems call it: its keys, with dots between them."""
        return ".".join(self.path)

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
        return text.strip() if self.kind == "written" else _number(text, self.kind)

    def within(self, payload: object) -> Any:
        """Return the value that stands for the field in a payload; `LEFT_OUT` if there is none."""
        for key in self.path:
            if not isinstance(payload, dict) or key not in payload:
                return LEFT_OUT
            payload = payload[key]
        return payload

    def put(self, payload: dict[str, Any], value: object) -> None:
        """Write a value into a payload, or take it out if it is `LEFT_OUT`; the objects that it stands in are made."""
        *outer, last = self.path
        for key in outer:
            inner = payload.get(key)
            # As a copy: the payload may share it with another one.
            payload[key] = payload = dict(inner) if isinstance(inner, dict) else {}
        if value is LEFT_OUT:
            payload.pop(last, None)
        else:
            payload[last] = value

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
    fields = tuple(_fields(info, (), LEFT_OUT)) if isinstance(info, _WITH_FIELDS) else ()
    return fields if len(fields) <= MOST_FIELDS else ()


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
    payload: dict[str, Any] = {}
    for field in fields:
        if field.start is not LEFT_OUT:
            field.put(payload, field.start)
    return payload if fields else None


def _fields(info: Any, path: tuple[str, ...], start: object) -> Iterator[FormField]:
    """Return the fields of a type in the order in which it names them; `start` is a whole value of it, or `LEFT_OUT`."""
    if getattr(info, "array_like", False):
        return
    if tag := getattr(info, "tag_field", None):
        yield FormField((*path, tag), "choice", True, False, (info.tag,), info.tag)
    try:
        hints = get_type_hints(info.cls)
    except Exception:  # noqa: BLE001 - a name in it may mean nothing here; any code may run
        hints = {}
    places = {name: place for place, name in enumerate(hints)}  # msgspec sorts those of a TypedDict
    for part in sorted(info.fields, key=lambda part: places.get(part.name, 0)):
        inside = (*path, part.encode_name)
        here = start.get(part.encode_name, LEFT_OUT) if isinstance(start, Mapping) else _own(part)
        inner = (
            isinstance(part.type, _WITH_FIELDS) and len(inside) < DEEPEST and (part.required or here is not LEFT_OUT)
        )
        parts = list(_fields(part.type, inside, here)) if inner else []
        yield from parts or [_field(part, inside, here, hints.get(part.name))]


def _field(part: Any, path: tuple[str, ...], start: object, hint: object) -> FormField:
    kinds = part.type.types if isinstance(part.type, msgspec.inspect.UnionType) else (part.type,)
    plainly = [kind for kind in kinds if not isinstance(kind, msgspec.inspect.NoneType)]
    only = plainly[0] if len(plainly) == 1 else None
    nullable = len(plainly) < len(kinds)
    kind: Kind = _KINDS.get(type(only), "json")
    choices: tuple[Any, ...] = ()
    if isinstance(only, msgspec.inspect.LiteralType):
        order = {choice: place for place, choice in enumerate(_literals(hint))}  # msgspec sorts them
        kind, choices = "choice", tuple(sorted(only.values, key=lambda choice: order.get(choice, 0)))
    elif isinstance(only, msgspec.inspect.EnumType):
        kind, choices = "choice", tuple(plain(member) for member in only.cls)
    if kind == "choice" and None in choices:
        nullable, choices = True, tuple(choice for choice in choices if choice is not None)
    looks = _HINTS.get(kind, "")
    if type(only) in _WRITTEN:
        kind, looks = "written", _WRITTEN[type(only)]
    if start is LEFT_OUT and part.required:
        start = _start(part, kind, nullable, choices)
    return FormField(path, kind, part.required, nullable, choices, start, "none" if nullable else looks)


def _literals(hint: object) -> Iterator[Any]:
    for part in get_args(hint):
        if get_origin(hint) is Literal:
            yield part
        else:
            yield from _literals(part)


def _own(part: Any) -> Any:
    """Return the value that a type has of its own for a field, as JSON says it; `LEFT_OUT` if there is none."""
    try:
        if part.default is not msgspec.NODEFAULT:
            return plain(part.default)
        if part.default_factory is not msgspec.NODEFAULT:
            return plain(part.default_factory())
    except Exception:  # noqa: BLE001 - a user's own code, or a value that JSON does not know
        return LEFT_OUT
    return LEFT_OUT


def _start(part: Any, kind: Kind, nullable: bool, choices: tuple[Any, ...]) -> Any:
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
