"""Stock middleware: plain callables that take an event and return it, a changed copy, or None to drop it.

Each works without a bus, too. What needs no change comes back as the very same event, and what a factory such as
`drop` returns is named after how it was made: ``drop(HANDLER_ERROR)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeAlias

from .arguments import came, check_kind, is_kind, refuse
from .errors import PayloadTypeError
from .events import Event, check_event_type, check_event_types, event_type_name
from .naming import callable_name, is_async
from .payloads import PayloadType
from .redaction import DEFAULT_SECRET_KEYS, redact
from .thinning import dedupe, rate_limit, sample

__all__ = [
    "DEFAULT_SECRET_KEYS",
    "dedupe",
    "drop",
    "enrich",
    "iso_timestamp",
    "keep",
    "rate_limit",
    "redact",
    "sample",
    "validate",
]

What: TypeAlias = Enum | Iterable[Enum] | Callable[[Event[Any]], object]
"""Which events are meant: one type, several, or a predicate."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso_timestamp(event: Event[Any]) -> Event[Any]:
    """Put the event's time into ``metadata["iso_time"]``, as ISO 8601 in UTC with microseconds.

    It is a middleware itself: ``bus.add_middleware(iso_timestamp)``.

    Parameters
    ----------
    event : Event
        Its ``timestamp`` is in seconds since the epoch.

    Returns
    -------
    Event
        A copy with the entry added or corrected; the same event if it has that entry.

    Raises
    ------
    OverflowError, ValueError
        If the timestamp lies outside the years 1 to 9999, or is not a number.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.middleware import iso_timestamp
    >>> iso_timestamp(Event(EventType.SYSTEM_INIT, timestamp=1360321200.0)).metadata
    {'iso_time': '2013-02-08T11:00:00.000000+00:00'}
    """
    try:
        seconds = event.timestamp
    except Exception:  # noqa: BLE001 - what is no event may do anything when it is asked
        raise refuse("event", event, "an Event") from None
    iso_time = (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="microseconds")
    if event.metadata.get("iso_time") == iso_time:
        return event
    return event.replace(metadata={**event.metadata, "iso_time": iso_time})


def keep(what: What) -> Callable[[Event[Any]], Event[Any] | None]:
    """Make a middleware that lets only some events pass.

    Parameters
    ----------
    what : Enum, iterable of Enum, or callable of an event
        The event types to keep, compared by name as `event_type_name` gives it, or a predicate that is true for
        an event to keep.

    Returns
    -------
    callable
        A middleware.

    Raises
    ------
    TypeError, ValueError
        If `what` is none of these, or is empty.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.middleware import keep
    >>> only_urgent = keep(lambda event: event.metadata.get("urgent"))
    >>> only_urgent(Event(EventType.AGENT_STARTED)) is None
    True
    """
    chosen, shown = _predicate(what)

    def keep_chosen(event: Event[Any]) -> Event[Any] | None:
        return event if chosen(event) else None

    keep_chosen.__name__ = keep_chosen.__qualname__ = f"keep({shown})"
    return keep_chosen


def drop(what: What) -> Callable[[Event[Any]], Event[Any] | None]:
    """Make a middleware that drops some events and lets the others pass.

    Parameters
    ----------
    what : Enum, iterable of Enum, or callable of an event
        The event types to drop, compared by name as `event_type_name` gives it, or a predicate that is true for
        an event to drop.

    Returns
    -------
    callable
        A middleware.

    Raises
    ------
    TypeError, ValueError
        If `what` is none of these, or is empty.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.middleware import drop
    >>> quiet = drop({EventType.STREAM_CHUNK, EventType.SYSTEM_HEALTH})
    >>> quiet(Event(EventType.STREAM_CHUNK)) is None
    True
    >>> quiet.__name__
    'drop(STREAM_CHUNK, SYSTEM_HEALTH)'
    """
    chosen, shown = _predicate(what)

    def drop_chosen(event: Event[Any]) -> Event[Any] | None:
        return None if chosen(event) else event

    drop_chosen.__name__ = drop_chosen.__qualname__ = f"drop({shown})"
    return drop_chosen


def enrich(
    fields: Mapping[str, object] | None = None, /, *, overwrite: bool = False, **more: object
) -> Callable[[Event[Any]], Event[Any]]:
    """Make a middleware that adds metadata.

    Parameters
    ----------
    fields : mapping of str to object, optional
        What to add, for names that cannot be a keyword.
    overwrite : bool, default False
        Whether to replace an entry that an event has already. By default it stays, and a callable for it is not called.
    **more
        What to add, by name. A callable is called with the event, for the value to add.

    Returns
    -------
    callable
        A middleware.

    Raises
    ------
    TypeError
        If `fields` is not a mapping with str keys, or nothing is to be added.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.middleware import enrich
    >>> mark = enrich(run="baseline", family=lambda event: event.type_name.split("_")[0])
    >>> mark(Event(EventType.AGENT_STARTED, metadata={"run": "mine"})).metadata
    {'run': 'mine', 'family': 'AGENT'}
    """
    check_kind("overwrite", overwrite, bool, "True or False")
    if fields is not None and not is_kind(fields, Mapping):
        raise TypeError(f"fields must be a mapping of names to values, got {came(fields)}")
    entries = {**(fields or {}), **more}
    if not entries:
        raise TypeError("enrich needs something to add: enrich(run='baseline')")
    for name in entries:
        if not is_kind(name, str):
            raise TypeError(f"fields must have str keys, got {came(name)}")

    def add_entries(event: Event[Any]) -> Event[Any]:
        metadata = dict(event.metadata)
        for name, value in entries.items():
            if overwrite or name not in metadata:
                metadata[name] = value(event) if callable(value) else value
        if all(name in event.metadata and metadata[name] is event.metadata[name] for name in entries):
            return event
        return event.replace(metadata=metadata)

    add_entries.__name__ = add_entries.__qualname__ = f"enrich({', '.join(entries)})"
    return add_entries


def validate(types: Mapping[Enum, Any], /, *, convert: bool = False) -> Callable[[Event[Any]], Event[Any]]:
    """Make a middleware that refuses payloads of the wrong type, so that their publisher hears of it.

    Parameters
    ----------
    types : mapping of Enum to type
        Payload type by event type, compared by name. Events of other types pass. A payload type is a class, a
        dataclass, a msgspec Struct, a TypedDict, a union, or a generic such as ``list[int]``.
    convert : bool, default False
        Whether a payload that fits becomes an instance of the type. By default it is left as it is.

    Returns
    -------
    callable
        A middleware.

    Raises
    ------
    TypeError
        If `types` is no mapping of event types to types that can be checked.
    PayloadTypeError
        From the middleware, if a payload does not fit; the message names event type, field and type. On a bus it
        is the cause of the MiddlewareError that the publisher gets.

    Notes
    -----
    What fits is told by `atlas_lab.payloads.PayloadType`, as for a typed subscriber: an instance, or a mapping that
    ``msgspec.convert`` makes one of, strictly, so that a str is no int.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.middleware import validate
    >>> @dataclass
    ... class Task:
    ...     name: str
    ...     steps: int
    >>> check = validate({EventType.TASK_SUBMITTED: Task}, convert=True)
    >>> check(Event(EventType.TASK_SUBMITTED, {"name": "plan", "steps": 3})).data
    Task(name='plan', steps=3)
    >>> check(Event(EventType.TASK_SUBMITTED, {"name": "plan", "steps": "three"}))
    Traceback (most recent call last):
    atlas_lab.errors.PayloadTypeError: TASK_SUBMITTED payload does not fit Task: Expected `int`, got `str` - at `$.steps`
    """
    check_kind("convert", convert, bool, "True or False")
    if not is_kind(types, Mapping):
        raise TypeError(f"types must map event types to payload types, got {came(types)}")
    rules = {}
    for event_type, payload_type in types.items():
        name = event_type_name(check_event_type(event_type, "a key of types"))
        rules[name] = PayloadType(payload_type, f"types[{name}]")

    def check(event: Event[Any]) -> Event[Any]:
        rule = rules.get(event.type_name)
        if rule is None:
            return event
        try:
            payload = rule.fit(event.data)
        except PayloadTypeError as error:
            raise PayloadTypeError(f"{event.type_name} {error}") from error.__cause__
        return event.replace(data=payload) if convert and payload is not event.data else event

    check.__name__ = check.__qualname__ = f"validate({', '.join(rules)})"
    return check


def _predicate(what: object) -> tuple[Callable[[Event[Any]], object], str]:
    if callable(what) and not is_kind(what, Enum | type):
        if is_async(what):
            raise TypeError(f"what must be a plain predicate, got the async function {callable_name(what)}")
        return what, callable_name(what)
    try:
        types = check_event_types(what, "what")
    except TypeError as error:
        raise TypeError(f"{error}, or pass a predicate: lambda event: event.source == 'planner'") from None
    except ValueError:
        raise ValueError("what is empty; name at least one event type") from None
    names = frozenset(map(event_type_name, types))
    return lambda event: event.type_name in names, ", ".join(sorted(names))
