"""The bounded history of a bus: what happened, in order, and how much was pushed out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from .arguments import check_condition, check_count, check_kind, is_kind, text_or_none
from .cards import history_card
from .events import Event, EventType, check_event_types, event_type_name

if TYPE_CHECKING:
    import pandas as pd

_FEW = 256  # events that are found faster one by one than by walking from an end


class History(Sequence[Event[Any]]):
    """The latest events of a bus, oldest first.

    Reading takes a snapshot, so iterating is safe while other threads publish.

    Parameters
    ----------
    limit : int or None, default 1000
        Number of events to keep. 0 keeps nothing, None keeps all.
    lock : context manager, optional
        The lock under which events are added; a bus shares its own.

    Raises
    ------
    TypeError, ValueError
        If `limit` is not an int or None, or is negative.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> bus = EventBus(history_limit=2)
    >>> for task in ("read", "think", "write"):
    ...     _ = bus.publish(EventType.AGENT_TASK_ASSIGNED, {"task": task}, source="planner")
    >>> [event.data["task"] for event in bus.history], bus.history.dropped
    (['think', 'write'], 1)
    >>> bus.history[-1].seq
    3
    >>> [event.data["task"] for event in bus.history["AGENT_TASK_ASSIGNED"]]  # <TAB> after [" offers the types
    ['think', 'write']
    >>> bus.history
    <History: 2 events (limit 2), 1 pushed out>
    """

    __slots__ = ("_accepted", "_cleared", "_events", "_lock")

    def __init__(self, limit: int | None = 1000, *, lock: AbstractContextManager[object] | None = None) -> None:
        if limit is not None:
            check_count("limit", limit, 0)
        self._events: deque[Event[Any]] = deque(maxlen=limit)
        self._accepted = 0
        self._cleared = 0
        self._lock = threading.RLock() if lock is None else lock

    @property
    def limit(self) -> int | None:
        """Number of events kept at most; None for no limit."""
        return self._events.maxlen

    @property
    def accepted(self) -> int:
        """Number of events ever added; the ``seq`` of the latest one."""
        return self._accepted

    @property
    def dropped(self) -> int:
        """Number of events that the limit pushed out. Cleared events do not count."""
        with self._lock:
            return self._accepted - self._cleared - len(self._events)

    def latest(self, n: int = 10) -> list[Event[Any]]:
        """Return the last `n` events, oldest first.

        Raises
        ------
        ValueError
            If `n` is negative.
        """
        check_count("n", n, 0)
        with self._lock:
            newest = list(islice(reversed(self._events), n))
        newest.reverse()
        return newest

    @property
    def seqs(self) -> range:
        """The numbers of the events that are kept; those of `between` are never others.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus(history_limit=2)
        >>> for _ in range(5):
        ...     _ = bus.publish(EventType.SYSTEM_HEALTH)
        >>> bus.history.seqs
        range(4, 6)
        """
        with self._lock:
            return range(self._accepted - len(self._events) + 1, self._accepted + 1)

    def between(self, first: int, last: int) -> list[Event[Any]]:
        """Return the kept events numbered `first` to `last`, both included, oldest first.

        A few events are found at once, wherever they are: a view reads what it shows, and no more.

        Raises
        ------
        TypeError, ValueError
            If a number is not an int, or is negative.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus(history_limit=3)
        >>> for step in range(5):
        ...     _ = bus.publish(EventType.SYSTEM_HEALTH, step)
        >>> [(event.seq, event.data) for event in bus.history.between(1, 4)]
        [(3, 2), (4, 3)]
        """
        check_count("first", first, 0)
        check_count("last", last, 0)
        with self._lock:
            events = self._events
            kept = len(events)
            oldest = self._accepted - kept + 1
            start, stop = max(first - oldest, 0), min(last - oldest + 1, kept)
            if stop <= start:
                return []
            if stop - start <= _FEW:
                return list(map(events.__getitem__, range(start, stop)))
            if start < kept - stop:
                return list(islice(events, start, stop))
            newest = list(islice(reversed(events), kept - stop, kept - start))
        newest.reverse()
        return newest

    def select(
        self,
        type: Enum | Iterable[Enum] | None = None,  # noqa: A002 - the field is called type
        source: str | Iterable[str] | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        scope: str | None = None,
        where: Callable[[Event[Any]], object] | None = None,
    ) -> list[Event[Any]]:
        """Return the events that meet every condition given, oldest first.

        Parameters
        ----------
        type : Enum or iterable of Enum, optional
            One event type or several.
        source : str or iterable of str, optional
            One source or several.
        since, until : float or datetime, optional
            Half-open interval ``since <= timestamp < until``; seconds since the epoch, or a datetime
            with a time zone.
        scope : str, optional
            Events of this scope and of every scope below it.
        where : callable of Event to bool, optional
            Any other condition.

        Raises
        ------
        TypeError
            If `type` is not an event type, or a datetime has no time zone.

        Examples
        --------
        >>> from atlas_lab import EventBus, EventType
        >>> bus = EventBus()
        >>> for word in ("storm", "day"):
        ...     _ = bus.publish(EventType.STREAM_CHUNK, word, source="model")
        >>> [event.data for event in bus.history.select(EventType.STREAM_CHUNK, where=lambda e: "o" in e.data)]
        ['storm']
        """
        sources = _sources(source)
        start = None if since is None else _seconds(since, "since")
        end = None if until is None else _seconds(until, "until")
        scope = text_or_none("scope", scope)
        check_condition("where", where)
        events = list(self)
        if type is not None:
            names = {event_type_name(one) for one in check_event_types(type, "type")}
            events = [event for event in events if event.type_name in names]
        if sources is not None:
            events = [event for event in events if event.source in sources]
        if start is not None:
            events = [event for event in events if event.timestamp >= start]
        if end is not None:
            events = [event for event in events if event.timestamp < end]
        if scope is not None:
            below = f"{scope}/"
            events = [e for e in events if e.scope is not None and (e.scope == scope or e.scope.startswith(below))]
        if where is not None:
            events = [event for event in events if where(event)]
        return events

    def clear(self) -> None:
        """Forget all events. Numbering goes on where it was."""
        with self._lock:
            self._cleared += len(self._events)
            self._events.clear()

    def to_frame(self, *, data: Literal["keep", "expand", "drop"] = "keep", run: str | None = None) -> pd.DataFrame:
        """Return the events as a DataFrame, one row per event; see `atlas_lab.to_frame`.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        from .frames import to_frame  # noqa: PLC0415 - pandas is heavy, and the core works without it

        return to_frame(self, data=data, run=run)

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event[Any]]:
        with self._lock:
            snapshot = list(self._events)
        return iter(snapshot)

    def __reversed__(self) -> Iterator[Event[Any]]:
        with self._lock:
            snapshot = list(self._events)
        return iter(snapshot[::-1])

    @overload
    def __getitem__(self, index: int) -> Event[Any]: ...
    @overload
    def __getitem__(self, index: slice | str | Enum) -> list[Event[Any]]: ...
    def __getitem__(self, index: int | slice | str | Enum) -> Event[Any] | list[Event[Any]]:
        if isinstance(index, slice):
            return list(self)[index]
        if isinstance(index, str | Enum):
            return self._of_type(index if isinstance(index, str) else event_type_name(index))
        try:
            with self._lock:
                return self._events[index]
        except IndexError:
            raise IndexError(f"history holds {len(self)} events, there is none at {index}") from None

    def _of_type(self, name: str) -> list[Event[Any]]:
        events = list(self)
        found = [event for event in events if event.type_name == name]
        if not found and name not in EventType.__members__:
            known = ", ".join(sorted({event.type_name for event in events})) or "none"
            raise KeyError(f"history holds no event of a type {name!r}; types in it: {known}")
        return found

    def _ipython_key_completions_(self) -> list[str]:
        return sorted({event.type_name for event in self})

    def _repr_html_(self) -> str:
        return history_card(self)

    def __repr__(self) -> str:
        limit = "no limit" if self.limit is None else f"limit {self.limit}"
        return f"<History: {len(self)} events ({limit}), {self.dropped} pushed out>"


def _sources(source: object) -> set[str] | None:
    if source is None:
        return None
    if is_kind(source, str):
        return {str.__str__(source)}
    check_kind("source", source, Iterable, "a str or several")
    sources = set()
    for one in cast("Iterable[object]", source):
        check_kind("source", one, str, "a str or several")
        sources.add(str.__str__(one))
    return sources


def _seconds(moment: float | datetime, argument: str) -> float:
    if not is_kind(moment, datetime):
        check_kind(argument, moment, int | float, "seconds since the epoch or a datetime")
        return cast("float", moment)
    if moment.tzinfo is None:
        raise TypeError(f"{argument} must have a time zone, got {moment!r}; use datetime(..., tzinfo=UTC)")
    return moment.timestamp()
