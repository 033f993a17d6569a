"""What a test expects of an event, and how far an event is from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from atlas_lab.arguments import check_condition, check_optional
from atlas_lab.events import Event, check_event_types, event_type_name
from atlas_lab.naming import callable_name, describe


@dataclass(frozen=True)
class Matcher:
    """What a test expects of an event, as `matching` returns it; its text says it.

    Attributes
    ----------
    types : tuple of Enum
        One of them; any type if there are none.
    source : str or None
        None for any source.
    data : object
        See `matching`; ``...`` for any payload.
    where : callable of Event, or None
    """

    types: tuple[Enum, ...]
    source: str | None
    data: object
    where: Callable[[Event[Any]], object] | None

    def takes(self, event: Event[Any]) -> bool:
        """Whether an event is at least of an expected type."""
        return not self.types or event.type_name in map(event_type_name, self.types)

    def fits(self, event: Event[Any]) -> bool:
        """Whether an event is as expected."""
        return self.takes(event) and not self.misses(event)

    def misses(self, event: Event[Any]) -> list[str]:
        """Return what is not as expected, each in words; what is wrong with the type comes first."""
        misses: list[str] = []
        if not self.takes(event):
            misses.append(f"type is {event.type_name}")
        if self.source is not None and event.source != self.source:
            misses.append(f"source is {shown(event.source)}, not {self.source!r}")
        if self.takes(event):
            misses += _payload_misses("data", event.data, self.data)
        else:
            with suppress(Exception):  # what is asked about the payload of one type may fail on another
                misses += _payload_misses("data", event.data, self.data)
        if not misses and self.where is not None and not self.where(event):
            misses.append(f"{callable_name(self.where)} is not true of it")
        return misses

    def __str__(self) -> str:
        parts = [" or ".join(map(event_type_name, self.types)) or "an event"]
        if self.source is not None:
            parts.append(f"from {self.source!r}")
        if self.data is not ...:
            parts.append(f"with data {_expected_text(self.data)}")
        if self.where is not None:
            parts.append(f"where {callable_name(self.where)}")
        return " ".join(parts)


@dataclass(frozen=True)
class Exactly:
    """A value that has to be equal as a whole, as `exactly` returns it."""

    value: object

    def __repr__(self) -> str:
        return f"exactly {self.value!r}"


def exactly(value: object) -> Exactly:
    """Return what ``data=`` takes for a payload that has to be equal as a whole, with no keys beyond.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.testing import exactly, matching
    >>> event = Event(EventType.STREAM_CHUNK, {"text": "hello", "index": 0})
    >>> matching(EventType.STREAM_CHUNK, data={"text": "hello"}).fits(event)
    True
    >>> matching(EventType.STREAM_CHUNK, data=exactly({"text": "hello"})).misses(event)
    ["data also has 'index'"]
    """
    return Exactly(value)


def matching(
    event_type: Enum | Iterable[Enum] | None = None,
    *,
    source: str | None = None,
    data: object = ...,
    where: Callable[[Event[Any]], object] | None = None,
) -> Matcher:
    """Return what a test expects of one event.

    Parameters
    ----------
    event_type : Enum, iterable of Enum, or None
        One type, any of several, or None for every type.
    source : str, optional
        Who published it.
    data : object, optional
        What the payload has to be:

        - a mapping: it has these keys, among others, with values that are compared in the same way; if it is no
          mapping itself, these attributes. An empty mapping has to be equal;
        - a class: it is an instance of it;
        - a function: true of it;
        - ``...``: anything;
        - `exactly` something, or any other value: equal to that.
    where : callable of Event, optional
        Any other condition; it is asked about events that fit so far.

    Raises
    ------
    TypeError
        If an argument is not as described.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.testing import matching
    >>> matcher = matching(EventType.STREAM_CHUNK, source="model", data={"text": "hello", "index": ...})
    >>> print(matcher)
    STREAM_CHUNK from 'model' with data {'text': 'hello', 'index': ...}
    >>> matcher.fits(Event(EventType.STREAM_CHUNK, {"text": "hello", "index": 7, "last": True}, "model"))
    True
    >>> matcher.misses(Event(EventType.STREAM_CHUNK, {"text": "goodbye"}, "model"))
    ["data has no 'index'", "data['text'] is 'goodbye', not 'hello'"]
    """
    check_optional("source", source, str, "a str")
    check_condition("where", where)
    return Matcher(() if event_type is None else check_event_types(event_type), source, data, where)


def shown(value: object, width: int = 100) -> str:
    """Return a value on one line of limited width; one that cannot be shown stops nobody."""
    try:
        text = " ".join(repr(value).split())
    except Exception as error:  # noqa: BLE001 - any code may run in there
        text = f"<{type(value).__name__} that cannot be shown: {describe(error)}>"
    return text if len(text) <= width else f"{text[: width - 4]} ..."


def _payload_misses(place: str, actual: object, expected: object) -> Iterator[str]:
    """Yield what of a payload, or of a part of it, is not as expected."""
    if isinstance(expected, Mapping) and expected:
        yield from _part_misses(place, actual, expected)
    elif isinstance(expected, type):
        if not isinstance(actual, expected):
            yield f"{place} is no {expected.__qualname__}"
    elif callable(expected):
        if not expected(actual):
            yield f"{callable_name(expected)} is not true of {place}"
    elif expected is not ...:
        yield from _whole_misses(place, actual, expected.value if isinstance(expected, Exactly) else expected)


def _part_misses(place: str, actual: object, expected: Mapping[Any, object]) -> Iterator[str]:
    """Yield what is not as expected of the items of a mapping, or of the attributes of what is no mapping."""
    items: list[tuple[str, object, object]] = []
    missing = []
    for key, value in expected.items():
        if isinstance(actual, Mapping) and key in actual:
            items.append((f"{place}[{key!r}]", actual[key], value))
        elif not isinstance(actual, Mapping) and isinstance(key, str) and hasattr(actual, key):
            items.append((f"{place}.{key}", getattr(actual, key), value))
        else:
            missing.append(repr(key))
    if missing:
        yield f"{place} has no {', '.join(missing)}"
    for item in items:
        yield from _payload_misses(*item)


def _whole_misses(place: str, actual: object, expected: object, depth: int = 0) -> Iterator[str]:
    """Yield in what a value is not equal to another one: in some of its parts, or as a whole."""
    is_part = f"{place} is {shown(actual)}, " if place != "data" else f"{place} is "
    try:
        if actual is expected or actual == expected:
            return
    except Exception as error:  # noqa: BLE001 - arrays and frames, for one, answer with more than a bool
        yield f"{is_part}not to be compared with {shown(expected)} ({describe(error)}); give a function instead"
        return
    misses = []
    was, wanted = _parts_of(actual), _parts_of(expected)
    if type(actual) is type(expected) and wanted and depth < 5:  # deeper, what is to be seen is no more of a help
        missing, more = wanted.keys() - was.keys(), was.keys() - wanted.keys()
        misses += [f"{place} has no {', '.join(sorted(missing))}"] if missing else []
        misses += [f"{place} also has {', '.join(sorted(more))}"] if more else []
        for key in [key for key in wanted if key in was]:
            part = f"{place}[{key}]" if isinstance(actual, Mapping) else f"{place}.{key}"
            misses += _whole_misses(part, was[key], wanted[key], depth + 1)
    yield from misses or [f"{is_part}not {shown(expected)}"]


def _parts_of(value: object) -> dict[str, object]:
    """Return the items of a mapping, or the fields of a dataclass or a Struct, by what they are called."""
    if isinstance(value, Mapping):
        return {shown(key): part for key, part in value.items()}
    kind = type(value)
    names: Iterable[str] = getattr(kind, "__struct_fields__", ()) or getattr(kind, "__dataclass_fields__", ())
    return {name: getattr(value, name, None) for name in names}


def _expected_text(expected: object) -> str:
    if expected is ...:
        return "..."
    if isinstance(expected, Mapping) and expected:
        return f"{{{', '.join(f'{key!r}: {_expected_text(value)}' for key, value in expected.items())}}}"
    if isinstance(expected, type):
        return f"of type {expected.__qualname__}"
    return callable_name(expected) if callable(expected) else shown(expected)
