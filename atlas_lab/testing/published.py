"""What was published on a bus while a test listened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from operator import attrgetter
from typing import Any, NamedTuple, NoReturn, Protocol, overload

from atlas_lab.arguments import refuse
from atlas_lab.bus import EventBus
from atlas_lab.events import Event, event_type_name

from .matching import matching

_BY_SEQ = attrgetter("seq")


class Published(Sequence[Event[Any]]):
    """The events that a bus accepted while it was recorded, in the order of its history; a list to read.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> from atlas_lab.testing import record
    >>> bus = EventBus()
    >>> with record(bus) as published:
    ...     _ = bus.publish(EventType.STREAM_STARTED)
    ...     _ = bus.publish(EventType.STREAM_CHUNK, "to")
    ...     _ = bus.publish(EventType.STREAM_CHUNK, "be")
    >>> published
    <Published: STREAM_STARTED, STREAM_CHUNK, STREAM_CHUNK>
    >>> published.types == [EventType.STREAM_STARTED, EventType.STREAM_CHUNK, EventType.STREAM_CHUNK]
    True
    >>> [event.data for event in published.select(EventType.STREAM_CHUNK)], published[-1].data
    (['to', 'be'], 'be')
    """

    def __init__(self) -> None:
        self._taken: list[Event[Any]] = []
        self._ordered: list[Event[Any]] = []

    def take(self, event: Event[Any]) -> None:
        """Note an event, from any thread."""
        self._taken.append(event)

    @property
    def events(self) -> list[Event[Any]]:
        """The events so far."""
        if len(self._ordered) != len(self._taken):
            # Handlers of two threads, or of an event and the one it caused, may be called in another order.
            self._ordered = sorted(self._taken, key=_BY_SEQ)
        return self._ordered.copy()

    @property
    def types(self) -> list[Enum]:
        """The type of each event."""
        return [event.type for event in self.events]

    def select(
        self,
        event_type: Enum | Iterable[Enum] | None = None,
        *,
        source: str | None = None,
        data: object = ...,
        where: Callable[[Event[Any]], object] | None = None,
    ) -> list[Event[Any]]:
        """Return the events that are as `matching`, with the same arguments, says.

        Raises
        ------
        TypeError
            If an argument is not as described there.
        """
        matcher = matching(event_type, source=source, data=data, where=where)
        return [event for event in self.events if matcher.fits(event)]

    def __len__(self) -> int:
        return len(self._taken)

    def __iter__(self) -> Iterator[Event[Any]]:
        return iter(self.events)

    @overload
    def __getitem__(self, index: int) -> Event[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event[Any]]: ...
    def __getitem__(self, index: int | slice) -> Event[Any] | list[Event[Any]]:
        events = self.events
        if isinstance(index, slice):
            return events[index]
        try:
            return events[index]
        except IndexError:
            raise IndexError(f"{len(events)} events were published, there is none at {index}") from None

    def __repr__(self) -> str:
        names = [event_type_name(one) for one in self.types]
        if len(names) > 10:
            names[5:-5] = [f"... {len(names) - 10} more ..."]
        return f"<Published: {', '.join(names) or 'nothing'}>"


class RecordedBus(NamedTuple):
    """A bus and what is published on it: what the fixture ``recorded_bus`` gives."""

    bus: EventBus
    published: Published

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"recorded_bus has no {name!r}: it is two things, so unpack it: bus, published = recorded_bus"
        )


class Bus(Protocol):
    """What `record` needs of a bus."""

    def subscribe(
        self, event_type: None, handler: Callable[[Event[Any]], object], *, priority: int
    ) -> Callable[[], object]:
        """As ``EventBus.subscribe``."""


@contextmanager
def record(bus: Bus) -> Iterator[Published]:
    """Collect what a bus accepts while the ``with`` block runs: its own events, and those that its scopes pass on.

    HANDLER_ERROR is among them, so a handler that failed in silence is not missed. What middleware drops is not
    published. Afterwards the events can still be read.

    It listens as any handler does, before all others: while it is on, the bus has one subscription more, and no dead
    letters.

    Parameters
    ----------
    bus : EventBus, or any other with its ``subscribe``

    Raises
    ------
    TypeError
        If `bus` is no bus.
    BusClosedError
        If the bus is closed.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType, ScopedEventBus
    >>> from atlas_lab.testing import record
    >>> bus = EventBus(name="run")
    >>> agent = ScopedEventBus(parent=bus, scope_name="agent-1")
    >>> with record(bus) as published:
    ...     _ = agent.publish(EventType.AGENT_STARTED, source="planner")
    >>> [(event.type.name, event.scope) for event in published]
    [('AGENT_STARTED', 'run/agent-1')]
    """
    if isinstance(bus, type) or not hasattr(bus, "subscribe"):
        raise refuse("bus", bus, "an EventBus (call it: EventBus())" if isinstance(bus, type) else "an EventBus")
    published = Published()
    unsubscribe = bus.subscribe(None, published.take, priority=sys.maxsize)
    try:
        yield published
    finally:
        unsubscribe()
