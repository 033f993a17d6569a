"""Middleware that thins a stream of events: by chance, by rate, or by what was seen before.

Each remembers something between events. Give two buses the same one and they share that memory.
"""

from __future__ import annotations

import os
import pickle
import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import blake2b
from math import inf
from numbers import Real
from typing import Any
from weakref import WeakSet

import msgspec

from .arguments import came, check_count, is_kind
from .events import Event, check_event_types, event_type_name
from .naming import callable_name, is_async


def sample(
    rate: float, *, seed: float | str | bytes | None = None, types: Enum | Iterable[Enum] | None = None
) -> Callable[[Event[Any]], Event[Any] | None]:
    """Make a middleware that keeps each event with the same probability and drops the others.

    Parameters
    ----------
    rate : float, probability from 0 to 1
        0 drops every event, 1 keeps every event.
    seed : int, float, str or bytes, optional
        The same seed keeps the same places in a stream, on every run. None seeds from the system.
    types : Enum or iterable of Enum, optional
        Thin only these event types. Others pass, and take no part in the drawing.

    Returns
    -------
    callable
        A middleware. It may be used from many threads: each event takes one draw of ``random.Random``.

    Raises
    ------
    TypeError, ValueError
        If `rate` is not a number from 0 to 1, `seed` cannot be one, or `types` holds no event types.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.middleware import sample
    >>> thin = sample(0.1, seed=7)
    >>> chunks = [Event(EventType.STREAM_CHUNK, n) for n in range(50)]
    >>> [chunk.data for chunk in chunks if thin(chunk)]
    [3, 6, 8, 10, 11, 21, 33, 34]
    """
    if not 0 <= _number(rate, "rate") <= 1:
        raise ValueError(f"rate must be a probability from 0 to 1, got {rate!r}")
    if not is_kind(seed, int | float | str | bytes | None):
        raise TypeError(f"seed must be an int, float, str, bytes or None, got {came(seed)}")
    names = _names(types)
    try:
        draw = random.Random(seed).random  # noqa: S311 - repeatable on purpose; one C call, so threads cannot split it
    except UnicodeEncodeError:
        raise ValueError(f"seed must be text that UTF-8 can hold, got {came(seed)}") from None

    def keep_some(event: Event[Any]) -> Event[Any] | None:
        if names is not None and event.type_name not in names:
            return event
        return event if draw() < rate else None

    keep_some.__name__ = keep_some.__qualname__ = f"sample({rate:g}{_of(names)})"
    return keep_some


def rate_limit(
    max_events: int,
    per: float = 1.0,
    *,
    key: Callable[[Event[Any]], Hashable] | None = None,
    types: Enum | Iterable[Enum] | None = None,
    clock: Callable[[], float] | None = None,
    max_keys: int = 1024,
) -> Callable[[Event[Any]], Event[Any] | None]:
    """Make a middleware that lets at most `max_events` events of a key pass in any `per` seconds.

    Parameters
    ----------
    max_events : int, 1 or more
        Number of events that may pass in a window.
    per : float, seconds, default 1
        Length of the window, which slides.
    key : callable of an event, optional
        What is limited one by one, such as ``lambda event: event.source``. The default is the event type's name.
    types : Enum or iterable of Enum, optional
        Limit only these event types. Others pass uncounted.
    clock : callable returning seconds, optional
        Where the time comes from. The default is the event's own ``timestamp``, which a bus takes from its clock.
    max_keys : int, 1 or more
        Number of keys remembered. A further one makes the least recently used start over.

    Returns
    -------
    callable
        A middleware that may be used from many threads. It keeps at most `max_events` times for each key.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of its range; from the middleware, if `key` returns
        something that cannot be hashed.

    Notes
    -----
    This is the sliding window log. With the times p1 <= p2 <= ... at which events of a key passed, an event
    at time t passes as the n-th if ``t - p[n - max_events] >= per``, or if n <= `max_events`. Dropped events
    are not counted. Unlike a token bucket, it never lets more than `max_events` through in a window.

    Time that runs backwards by up to `per` stands still until it has caught up, so threads that arrive out of
    order cannot beat the limit. Time that jumps back further, as when a clock is set or a replay starts again,
    makes the key start over instead of staying shut until then.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.middleware import rate_limit
    >>> limit = rate_limit(2, per=1.0)
    >>> beats = [Event(EventType.SYSTEM_HEALTH, timestamp=t) for t in (0.0, 0.1, 0.2, 0.9, 1.0, 1.05, 1.1)]
    >>> [beat.timestamp for beat in beats if limit(beat)]
    [0.0, 0.1, 1.0, 1.1]
    """
    check_count("max_events", max_events, 1)
    check_count("max_keys", max_keys, 1)
    if not 0 < _number(per, "per") < inf:
        raise ValueError(f"per must be a number of seconds above 0, got {per!r}")
    key_of = _type_name if key is None else _callable(key, "key")
    if clock is not None:
        _callable(clock, "clock")
    names = _names(types)
    passed: OrderedDict[Hashable, deque[float]] = OrderedDict()
    guard = _Guard()

    def limit(event: Event[Any]) -> Event[Any] | None:
        if names is not None and event.type_name not in names:
            return event
        place = _hashable(key_of(event), key_of)
        now = event.timestamp if clock is None else clock()
        with guard.lock:
            times = passed.pop(place, None)
            if times is None:
                times = deque(maxlen=max_events)
            passed[place] = times  # now the most recently used
            if len(passed) > max_keys:
                passed.popitem(last=False)
            if times and now < times[-1]:
                if times[-1] - now > per:
                    times.clear()
                else:
                    now = times[-1]
            if len(times) == max_events and now - times[0] < per:
                return None
            times.append(now)
            return event

    limit.__name__ = limit.__qualname__ = f"rate_limit({max_events} per {per:g} s{_of(names)})"
    return limit


def dedupe(
    key: Callable[[Event[Any]], Hashable] | None = None, *, size: int = 1024
) -> Callable[[Event[Any]], Event[Any] | None]:
    """Make a middleware that drops an event whose key is among the last `size` distinct keys.

    Parameters
    ----------
    key : callable of an event, optional
        What makes two events the same, such as ``lambda event: event.data["order"]``. The default is the event
        type's name, the source, and the payload: dicts, lists, tuples, sets, dataclasses and Structs
        by their content in depth, what else can be hashed as it compares itself, the rest by its pickle. Values
        of different types differ: 1, 1.0 and True are three payloads.
    size : int, 1 or more
        Number of keys remembered. A repeat counts as use; the least recently used key is forgotten first.

    Returns
    -------
    callable
        A middleware that may be used from many threads. It keeps `size` keys alive, so a `key` that returns
        something small saves memory.

    Raises
    ------
    TypeError, ValueError
        If `key` is not callable or `size` is not an int of 1 or more; from the middleware, if a key cannot be
        hashed, or a payload cannot be compared and needs a `key`.

    Examples
    --------
    >>> from atlas_lab import Event, EventType
    >>> from atlas_lab.middleware import dedupe
    >>> once = dedupe()
    >>> documents = [Event(EventType.DOCUMENT_ADDED, {"path": path}) for path in ("a", "b", "a")]
    >>> [document.data["path"] for document in documents if once(document)]
    ['a', 'b']
    """
    check_count("size", size, 1)
    key_of = _same_content if key is None else _callable(key, "key")
    seen: OrderedDict[Hashable, bool] = OrderedDict()
    guard = _Guard()

    def first_only(event: Event[Any]) -> Event[Any] | None:
        place = _hashable(key_of(event), key_of)
        with guard.lock:
            repeated = seen.pop(place, False)
            seen[place] = True  # now the most recently used
            if len(seen) > size:
                seen.popitem(last=False)
        return None if repeated else event

    shown = "" if key is None else f"{callable_name(key)}, "
    first_only.__name__ = first_only.__qualname__ = f"dedupe({shown}size={size})"
    return first_only


class _Guard:
    """A lock that a forked child finds free, whoever held it in the parent at that moment.

    It is re-entrant, because a signal handler or a finalizer that publishes may run inside it.
    """

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        _guards.add(self)


_guards: WeakSet[_Guard] = WeakSet()


def _renew_guards() -> None:
    for guard in _guards:
        guard.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_guards)


def _type_name(event: Event[Any]) -> Hashable:
    return event.type_name


def _same_content(event: Event[Any]) -> Hashable:
    try:
        return event.type_name, event.source, _content(event.data)
    except RecursionError:
        raise TypeError("the payload refers to itself or is nested too deep to be compared; pass a key") from None


def _content(value: object) -> Hashable:
    kind = type(value)
    if isinstance(value, Mapping):
        return kind, frozenset((_content(name), _content(item)) for name, item in list(value.items()))
    if isinstance(value, list | tuple):
        return kind, tuple(map(_content, value))
    if isinstance(value, set | frozenset):
        return kind, frozenset(map(_content, value))
    if isinstance(value, msgspec.Struct):
        return kind, tuple(_content(getattr(value, name)) for name in value.__struct_fields__)
    if is_dataclass(value) and not isinstance(value, type):
        return kind, tuple(_content(getattr(value, field.name)) for field in fields(value))
    try:
        hash(value)
    except TypeError:
        return kind, _pickled(value)
    return kind, value


def _pickled(value: object) -> bytes:
    try:
        return blake2b(pickle.dumps(value), digest_size=32).digest()
    except RecursionError:
        raise
    except Exception as error:
        raise TypeError(
            f"a {type(value).__qualname__} in the payload can be neither hashed nor pickled, and so not compared; "
            "pass a key"
        ) from error


def _hashable(value: Hashable, key: Callable[[Event[Any]], Hashable]) -> Hashable:
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"key {callable_name(key)} must return something hashable, such as a str or a tuple, "
            f"got {type(value).__name__}"
        ) from None
    return value


def _callable(value: Any, argument: str) -> Any:
    if not callable(value) or is_async(value):
        what = "an async function" if callable(value) else came(value)
        raise TypeError(f"{argument} must be a plain function or None, got {what}")
    return value


def _number(value: Any, argument: str) -> float:
    if is_kind(value, bool) or not is_kind(value, Real):
        raise TypeError(f"{argument} must be a number, got {came(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{argument} must be a number that fits a float, got {came(value)}") from None


def _names(types: Enum | Iterable[Enum] | None) -> frozenset[str] | None:
    return None if types is None else frozenset(map(event_type_name, check_event_types(types, "types")))


def _of(names: frozenset[str] | None) -> str:
    return "" if names is None else f", {', '.join(sorted(names))}"
