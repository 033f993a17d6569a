"""The middleware of a bus: entries in order, each of which can be switched off and counts what it does.

An event that every entry passes on unchanged costs one call per entry and one shared count. The first
entry that does something else hands over to `Stage._follow`, which keeps books one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from operator import length_hint
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

from .arguments import came, check_callable, check_kind, is_kind, refuse, text_or_none
from .errors import MiddlewareError
from .events import Event
from .naming import callable_name, describe, is_async, short_repr

MiddlewareFunction: TypeAlias = Callable[[Event[Any]], Event[Any] | None]

SAMPLE_EVERY = 64
"""At least one event in this many is timed."""

_NOT_RUN = object()


class MiddlewareStats(NamedTuple):
    """What one middleware entry did so far.

    Attributes
    ----------
    seen, passed, transformed, dropped, raised : int
        Events that reached the entry, and what became of them; ``seen`` is the sum of the others.
    total_time : float
        Seconds spent in it, estimated from the events that were timed: at least one in `SAMPLE_EVERY`.
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

    def __init__(self, pipeline: Pipeline, function: MiddlewareFunction, name: str) -> None:
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


class Stage:
    """A snapshot of the entries that are switched on, in order. A change makes a new one."""

    __slots__ = ("_pipeline", "entries", "passes", "retired", "steps")

    def __init__(self, pipeline: Pipeline, entries: tuple[Middleware, ...]) -> None:
        self._pipeline = pipeline
        self.entries = entries
        # A list, because switching an entry off replaces its step also for the event in flight.
        self.steps: list[MiddlewareFunction] = [pipeline.step(entry, place) for place, entry in enumerate(entries)]
        self.passes = 0  # accepted events that every entry passed unchanged; counted by the bus, under the lock
        self.retired = False

    def run(self, event: Event[Any]) -> Event[Any] | None:
        """Return what the entries make of an event; None when one of them dropped it.

        The very object that came in comes out only if every entry passed it unchanged. The caller
        counts that case in `passes`; every other one is counted here.

        Raises
        ------
        MiddlewareError
            If an entry raises, or returns neither an event nor None.
        """
        if not self.passes % SAMPLE_EVERY:
            return self._follow(event)
        steps = iter(self.steps)
        try:
            for step in steps:
                outcome = step(event)
                if outcome is not event:
                    break
            else:
                return event
        except Exception as error:
            position = self._position(steps)
            raise self._failed(position, ["passed"] * position, f"raised {describe(error)}") from error
        return self._follow(event, self._position(steps), outcome)

    def _follow(self, offered: Event[Any], start: int = 0, outcome: object = _NOT_RUN) -> Event[Any] | None:
        """Run the entries from `start` on, whose outcome may be known, timing and counting each."""
        event = offered
        actions = ["passed"] * start
        for position in range(start, len(self.entries)):
            if outcome is _NOT_RUN:
                started = perf_counter()
                try:
                    outcome = self.steps[position](event)
                except Exception as error:
                    raise self._failed(position, actions, f"raised {describe(error)}") from error
                finally:
                    self._time(self.entries[position], perf_counter() - started)
            if outcome is None:
                self._count([*actions, "dropped"])
                return None
            if not is_kind(outcome, Event):
                problem = f"returned {came(outcome)}, expected the event, a changed copy, or None"
                raise self._failed(position, actions, problem)
            actions.append("passed" if outcome is event else "transformed")
            event = outcome
            outcome = _NOT_RUN
        if "transformed" in actions:
            self._count(actions)
            return event.replace() if event is offered else event
        return event

    def _position(self, steps: Iterator[MiddlewareFunction]) -> int:
        return len(self.steps) - length_hint(steps) - 1

    def _failed(self, position: int, actions: list[str], problem: str) -> MiddlewareError:
        self._count([*actions, "raised"])
        return MiddlewareError(self.entries[position].name, problem)

    def _count(self, actions: list[str]) -> None:
        with self._pipeline.lock:
            self._book(actions)

    def _book(self, actions: list[str]) -> None:
        if actions[-1] in {"dropped", "raised"}:
            self._pipeline.rejected += 1
        for entry, action in zip(self.entries, actions, strict=False):
            entry.counts[action] += 1

    def _time(self, entry: Middleware, seconds: float) -> None:
        with self._pipeline.lock:
            entry.timed += 1
            entry.timed_seconds += seconds

    def settle(self) -> None:
        """Book the shared count of passes to the entries. Called under the lock."""
        for entry in self.entries:
            entry.counts["passed"] += self.passes
        self.passes = 0


class Pipeline:
    """The middleware of one bus.

    Attributes
    ----------
    entries : tuple of Middleware
        All entries in order, switched on or off.
    stage : Stage or None
        What the next event runs through; None when no entry is switched on.
    rejected : int
        Events that an entry dropped or failed on.
    """

    __slots__ = ("entries", "lock", "recorders", "rejected", "stage")

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self.lock = lock
        self.entries: tuple[Middleware, ...] = ()
        self.stage: Stage | None = None
        self.rejected = 0
        self.recorders: tuple[Any, ...] = ()

    def add(
        self, function: MiddlewareFunction, name: str | None = None, before: Middleware | str | None = None
    ) -> Middleware:
        """Add an entry at the end, or before another one; a name that is taken replaces that entry in its place.

        Raises
        ------
        TypeError
            If `function` is not callable, or is a coroutine function.
        ValueError
            If `before` is not an entry of this pipeline.
        """
        check_callable("middleware", function, "callable with one event")
        if is_async(function):
            raise TypeError(f"middleware runs inside publish and cannot be async, got {callable_name(function)}")
        name = text_or_none("name", name)
        before = _entry_or_name(before)
        with self.lock:
            return self._add(function, name, before)

    def _add(self, function: MiddlewareFunction, name: str | None, before: Middleware | str | None) -> Middleware:
        entry = Middleware(self, function, name or self._free_name(callable_name(function)))
        entries = list(self.entries)
        place = len(entries) if before is None else self._find(before)
        same = next((i for i, other in enumerate(entries) if other.name == entry.name), None)
        if same is not None:
            del entries[same]
            place = same if before is None else place - (same < place)
        entries.insert(place, entry)
        self._change(tuple(entries))
        return entry

    def move(self, entry: Middleware, before: Middleware | str | None = None) -> None:
        """Put an entry in front of another one, or at the end.

        Raises
        ------
        TypeError, ValueError
            If `before` or `entry` is not an entry of this pipeline.
        """
        before = _entry_or_name(before)
        with self.lock:
            self._move(entry, before)

    def _move(self, entry: Middleware, before: Middleware | str | None) -> None:
        if entry not in self.entries:
            raise ValueError(
                f"middleware {entry.name!r} was removed from its bus; add it again with bus.add_middleware"
            )
        follower = None if before is None else self.entries[self._find(before)]
        if follower is entry:
            return
        entries = [other for other in self.entries if other is not entry]
        entries.insert(len(entries) if follower is None else entries.index(follower), entry)
        self._change(tuple(entries))

    def remove(self, entry: Middleware) -> bool:
        """Take an entry out. True if it was there."""
        with self.lock:
            return self._remove(entry)

    def _remove(self, entry: Middleware) -> bool:
        if entry not in self.entries:
            return False
        self._change(tuple(other for other in self.entries if other is not entry))
        return True

    def step(self, entry: Middleware, place: int) -> MiddlewareFunction:
        """Return what is called for an entry."""
        function = entry.function
        for recorder in self.recorders:
            function = recorder.step(entry, place, function)
        return function

    def record_with(self, recorders: tuple[Any, ...]) -> None:
        """Have the steps from now on recorded by these."""
        with self.lock:
            self.recorders = recorders
            self.rebuild()

    def settle(self) -> None:
        """Bring the counts of all entries up to date. Called under the lock."""
        if self.stage is not None:
            self.stage.settle()

    def rebuild(self) -> None:
        """Make the stage for the next event from the entries that are switched on. Called under the lock."""
        active = tuple(entry for entry in self.entries if entry.enabled)
        old, self.stage = self.stage, Stage(self, active) if active else None
        if old is not None:
            old.settle()
            old.retired = True
            for position, entry in enumerate(old.entries):
                if entry not in active:
                    old.steps[position] = entry.pass_by

    def _change(self, entries: tuple[Middleware, ...]) -> None:
        self.entries = entries
        self.rebuild()

    def _find(self, wanted: Middleware | str) -> int:
        for position, entry in enumerate(self.entries):
            if wanted is entry or wanted == entry.name:
                return position
        names = ", ".join(repr(entry.name) for entry in self.entries) or "none"
        shown = wanted.name if isinstance(wanted, Middleware) else wanted
        raise ValueError(f"before names no middleware of this bus: {short_repr(shown)}; there are: {names}")

    def _free_name(self, name: str) -> str:
        taken = {entry.name for entry in self.entries}
        return next(free for n in count(1) if (free := name if n == 1 else f"{name} ({n})") not in taken)


def _entry_or_name(before: object) -> Middleware | str | None:
    if before is None or is_kind(before, Middleware):
        return before
    if not is_kind(before, str):
        raise refuse("before", before, "a Middleware, or the name of one")
    return text_or_none("before", before)
