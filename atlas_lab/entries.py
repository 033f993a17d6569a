"""One entry of the middleware of a bus: it can be switched off, moved and removed, and counts what it does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeAlias

from .arguments import check_kind
from .events import Event

MiddlewareFunction: TypeAlias = Callable[[Event[Any]], Event[Any] | None]


class Order(Protocol):
    """What an entry needs of the pipeline that it stands in."""

    entries: tuple[Middleware, ...]
    lock: AbstractContextManager[object]

    def rebuild(self) -> None:
        """Make the stage for the next event."""

    def settle(self) -> None:
        """Bring the counts of all entries up to date."""

    def move(self, entry: Middleware, before: Middleware | str | None = None) -> None:
        """Put an entry in front of another one, or at the end."""

    def remove(self, entry: Middleware) -> bool:
        """Take an entry out."""


class MiddlewareStats(NamedTuple):
    """What one middleware entry did so far.

    Attributes
    ----------
    seen, passed, transformed, dropped, raised : int
        Events that reached the entry, and what became of them; ``seen`` is the sum of the others.
    total_time : float
        Seconds spent in it, estimated from the events that were timed: at least one in 64.
    """

    seen: int
    passed: int
    transformed: int
    dropped: int
    raised: int
    total_time: float


class Middleware:
    """One entry of a bus's middleware, as ``bus.add_middleware`` returns it. Calling it removes it.

    Examples
    --------
    >>> from atlas_lab import EventBus, EventType
    >>> bus = EventBus()
    >>> quiet = bus.add_middleware(lambda event: None, name="quiet")
    >>> _ = bus.publish(EventType.SYSTEM_HEALTH)
    >>> quiet.enabled = False
    >>> _ = bus.publish(EventType.SYSTEM_HEALTH)
    >>> quiet.stats.dropped, len(bus.history)
    (1, 1)
    >>> quiet(), quiet()
    (True, False)
    """

    __slots__ = ("_enabled", "_pipeline", "counts", "function", "name", "timed", "timed_seconds")

    def __init__(self, pipeline: Order, function: MiddlewareFunction, name: str) -> None:
        self._pipeline = pipeline
        self._enabled = True
        self.counts = {"passed": 0, "transformed": 0, "dropped": 0, "raised": 0}
        self.timed = 0
        self.timed_seconds = 0.0
        self.function = function
        self.name = name

    @property
    def enabled(self) -> bool:
        """Whether events pass through the entry; False takes it out at once and keeps its place."""
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        check_kind("enabled", value, bool, "True or False")
        with self._pipeline.lock:
            self._enabled = value
            self._pipeline.rebuild()

    @property
    def stats(self) -> MiddlewareStats:
        """What the entry did so far."""
        with self._pipeline.lock:
            self._pipeline.settle()
            counts = self.counts
            seen = sum(counts.values())
            total_time = self.timed_seconds * seen / self.timed if self.timed else 0.0
            return MiddlewareStats(seen, **counts, total_time=total_time)

    @property
    def active(self) -> bool:
        """Whether the entry is still part of the bus, switched on or off."""
        return self in self._pipeline.entries

    def move(self, before: Middleware | str | None = None) -> None:
        """Take another place in the order, from the next event on; counts go on.

        Parameters
        ----------
        before : Middleware or str, optional
            The entry, or the name of it, to stand in front of; at the end by default.

        Raises
        ------
        TypeError, ValueError
            If `before` is not an entry of this bus, or this entry was removed.

        Examples
        --------
        >>> from atlas_lab import EventBus
        >>> bus = EventBus()
        >>> first = bus.add_middleware(lambda event: event, name="first")
        >>> second = bus.add_middleware(lambda event: event, name="second")
        >>> second.move(before="first")
        >>> [entry.name for entry in bus.middleware]
        ['second', 'first']
        """
        self._pipeline.move(self, before)

    def remove(self) -> bool:
        """Take the entry out for good. True the first time, False after."""
        return self._pipeline.remove(self)

    __call__ = remove

    def pass_by(self, event: Event[Any]) -> Event[Any]:
        """Stand in for an entry that was switched off, for the events in flight; they do not count as passed."""
        with self._pipeline.lock:
            self.counts["passed"] -= 1
        return event

    def __repr__(self) -> str:
        state = ", removed" if not self.active else "" if self.enabled else ", off"
        stats = self.stats
        return (
            f"<Middleware {self.name!r}{state}: {stats.seen} seen, {stats.passed} passed, "
            f"{stats.transformed} transformed, {stats.dropped} dropped, {stats.raised} raised>"
        )
